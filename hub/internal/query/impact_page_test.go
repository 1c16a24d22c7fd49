package query

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write docs/impact.md anew")

const impactPage = "../../../docs/impact.md"

const impactIntro = `# What stops working

What "what stops working if this goes" goes by: who depends on whom, one row for each sort of relationship. An edge is read from left to right, as in
[Relationships](relationships.md). When one end is lost, the row says what becomes of the other; that is a loss too, which is followed further.

- **goes**: it isn't there any more. **breaks**: it is there, and can't do what it is for, or can't start again. **degrades**: it works, and lacks something.
- What names its target as optional degrades where others break.
- What needs *one of several* (a Service its Pods, a workload its replicas, an Ingress its backends) breaks when none that worked is left; before that it degrades. What
  is lost without having worked changes nothing.
- The end of a Namespace takes with it all that is in it.
- A PodDisruptionBudget that allows no disruption *blocks* the eviction of its Pods when their Node goes, or one of them.
- A relationship that no row is about has no effect: that a NetworkPolicy, a monitor or a budget is gone stops nothing from working.

This page is made from the table itself: ` + "`go test ./hub/internal/query -run TestImpactPage -rewrite`" + `.

| type | rules | what is lost | from | then the other | in words |
|---|---|---|---|---|---|
`

// TestImpactPage holds the page for people against the table; with -rewrite, it writes the page.
func TestImpactPage(t *testing.T) {
	var b strings.Builder
	b.WriteString(impactIntro)
	how := map[loss]string{none: "is as before", degraded: "degrades", broken: "breaks", gone: "goes"}
	for _, e := range effects {
		rules := "all others"
		if e.Rules != nil {
			rules = "`" + strings.Join(e.Rules, "`, `") + "`"
		}
		lost := map[end]string{source: "left", target: "right"}[e.Lost]
		if e.Kinds != nil {
			var kinds []string
			for _, k := range e.Kinds {
				kinds = append(kinds, "`"+k.String()+"`")
			}
			lost += ": " + strings.Join(kinds, ", ")
		}
		then, why := how[e.Then], strings.Replace(e.Why, "%s", "…", 1)
		switch {
		case e.Blocks:
			then, why = "blocks", "allows no disruption: the eviction of … is refused"
		case e.Of != "":
			then += fmt.Sprintf("; %s while one of several is left", how[e.Rest])
			if why == "" {
				why = "loses its only " + e.Of + ", …"
			}
		}
		if e.Unless != "" {
			then += ", unless " + e.Unless
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", e.Type, rules, lost, map[loss]string{degraded: "it degrades", broken: "it breaks", gone: "it goes"}[e.Least], then, why)
	}
	if *rewrite {
		if err := os.WriteFile(impactPage, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(impactPage)
	if err != nil || string(got) != b.String() {
		t.Errorf("docs/impact.md isn't what the table says (%v): run with -rewrite", err)
	}
}
