package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// Slack takes text with marks of its own, and cuts messages that are too long. What others wrote is escaped, so that it marks and calls nobody.
const (
	slackLines = 20   // objects told by name
	slackText  = 2900 // bytes of an attachment; 3,000 is where it would be cut
)

var escaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "\x00", "")

// slackMessage is what incoming webhooks take. Text is what is shown where attachments aren't.
type slackMessage struct {
	Text        string            `json:"text"`
	Attachments []slackAttachment `json:"attachments"`
}

type slackAttachment struct {
	Color    string   `json:"color"`
	Fallback string   `json:"fallback"`
	Text     string   `json:"text"`
	Markdown []string `json:"mrkdwn_in"`
	Footer   string   `json:"footer,omitempty"`
	Time     int64    `json:"ts,omitempty"`
}

func (t *target) slack(ctx context.Context, n *Notification) error {
	body, err := json.Marshal(slackOf(n))
	if err != nil {
		return fault.Wrap(err, fault.Internal, "a notification has no JSON form")
	}
	return t.post(ctx, nil, body)
}

// slackOf words a notification: one attachment for all that is alike, the worst first.
func slackOf(n *Notification) slackMessage {
	m := slackMessage{Text: "*" + escaper.Replace(n.Rule) + "*: " + escaper.Replace(n.Summary)}
	told, total := 0, len(n.Changes)+n.LeftOut
	for _, word := range order {
		var lines []string
		size := 0
		for i := range n.Changes {
			c := &n.Changes[i]
			if c.word() != word {
				continue
			}
			line := slackLine(c)
			if told >= slackLines || size+len(line)+1 > slackText {
				continue
			}
			lines, told, size = append(lines, line), told+1, size+len(line)+1
		}
		if len(lines) > 0 {
			m.Attachments = append(m.Attachments, slackAttachment{Color: color(word), Fallback: m.Text, Text: strings.Join(lines, "\n"), Markdown: []string{"text"}})
		}
	}
	if more := total - told; more > 0 {
		m.Attachments = append(m.Attachments, slackAttachment{Color: "#888888", Fallback: m.Text, Text: fmt.Sprintf("and %s more", plural(more, "change")), Markdown: []string{"text"}})
	}
	if len(m.Attachments) > 0 {
		last := &m.Attachments[len(m.Attachments)-1]
		last.Footer = fmt.Sprintf("Kubilitics, %s, position %d", escaper.Replace(n.Tenant), n.Last)
		last.Time = n.At.Unix()
	}
	return m
}

func slackLine(c *Change) string {
	name := c.Object
	if c.Namespace != "" {
		name = c.Namespace + "/" + name
	}
	line := fmt.Sprintf("%s `%s` in %s", escaper.Replace(c.Kind), plainCode(name), escaper.Replace(c.Name))
	switch {
	case c.Finding != nil:
		line += ": " + escaper.Replace(c.Finding.Sentence)
	case c.Status != "":
		line += ": " + escaper.Replace(cut(c.Status, 200))
	}
	if c.What == onHealth {
		line = "*" + c.To + "* " + line + " (was " + c.From + ")"
	} else {
		line = "*" + c.What + "* " + line
	}
	if c.Times > 1 {
		line += fmt.Sprintf(", %d times", c.Times)
	}
	return line
}

// cut shortens a text at a character's end.
func cut(s string, limit int) string {
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") + "…"
	}
	return s
}

// plainCode makes a text that stays within backquotes.
func plainCode(s string) string { return strings.ReplaceAll(escaper.Replace(s), "`", "'") }

func color(word string) string {
	switch word {
	case "error", "missing", "found (error)":
		return "#c9190b"
	case "warning", "found (warning)":
		return "#f0ab00"
	case "ok", onFound, onResolved:
		return "#3e8635"
	}
	return "#06c"
}
