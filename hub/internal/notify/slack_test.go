package notify

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestSlack(t *testing.T) {
	n := &Notification{Tenant: "default", Rule: "prod", Summary: "1 error, 1 found (warning), in 1 cluster", Last: 42, At: time.Unix(1_700_000_000, 0), Changes: []Change{
		{Name: "eu", Kind: "Pod", Namespace: "shop", Object: "web-1", What: onFinding, Times: 1, Finding: &Finding{Severity: "warning", Sentence: "See <http://evil|this> & <!channel>"}},
		{Name: "eu", Kind: "Pod", Namespace: "shop", Object: "we`b", What: onHealth, From: "ok", To: "error", Status: "CrashLoopBackOff", Times: 3},
	}}
	text, err := json.MarshalIndent(slackOf(n), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	want := `{
 "text": "*prod*: 1 error, 1 found (warning), in 1 cluster",
 "attachments": [
  {
   "color": "#c9190b",
   "fallback": "*prod*: 1 error, 1 found (warning), in 1 cluster",
   "text": "*error* Pod ` + "`shop/we'b`" + ` in eu: CrashLoopBackOff (was ok), 3 times",
   "mrkdwn_in": [
    "text"
   ]
  },
  {
   "color": "#f0ab00",
   "fallback": "*prod*: 1 error, 1 found (warning), in 1 cluster",
   "text": "*finding* Pod ` + "`shop/web-1`" + ` in eu: See &lt;http://evil|this&gt; &amp; &lt;!channel&gt;",
   "mrkdwn_in": [
    "text"
   ],
   "footer": "Kubilitics, default, position 42",
   "ts": 1700000000
  }
 ]
}`
	got := strings.NewReplacer(`\u0026`, "&", `\u003c`, "<", `\u003e`, ">").Replace(string(text))
	if got != want {
		t.Errorf("got %s", got)
	}
}

func TestSlackIsNotFlooded(t *testing.T) {
	n := &Notification{LeftOut: 5}
	for range 100 {
		n.Changes = append(n.Changes, Change{Kind: "Pod", Object: strings.Repeat("x", 200), What: onHealth, To: "error", Status: strings.Repeat("é", 5000)})
	}
	m := slackOf(n)
	lines := 0
	for _, a := range m.Attachments {
		if len(a.Text) > 3000 {
			t.Errorf("an attachment of %d bytes", len(a.Text))
		}
		lines += strings.Count(a.Text, "\n") + 1
	}
	last := m.Attachments[len(m.Attachments)-1].Text
	if lines > slackLines+1 || !strings.HasPrefix(last, "and ") || !strings.HasSuffix(last, " more") {
		t.Errorf("%d lines, the last is %q", lines, last)
	}
}
