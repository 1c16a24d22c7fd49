package health

import (
	"strconv"
	"strings"

	"github.com/kubilitics/kubilitics/shared/topo"
)

// generic judges every kind that no row names.
var generic = Row{
	Groups: withShared(append([]Group{own("status.phase", "status.state", "spec.replicas", "status.readyReplicas")}, images(podTemplate)...)),
	Judge:  custom,
}

// custom is byConditions, with what workloads among custom resources have in common with the built-in ones.
func custom(f Facts) Verdict {
	v := f.byConditions(topo.Progressing)
	ready, replicas := "", f.own(2)
	if _, err := strconv.Atoi(replicas); err != nil {
		replicas = ""
	} else if f.own(3) != "" {
		ready = f.own(3) + "/" + replicas
	}
	v.Attrs = pairs("images", sorted(f.items(ofSecond), f.items(ofThird)), "ready", ready, "replicas", replicas)
	return v
}

// unready judges kinds whose controllers say "not ready" only where something went wrong, and "unknown" while they work.
func unready(f Facts) Verdict { return f.byConditions(topo.Error) }

// byConditions goes by what controllers have agreed on: the condition Ready, which kstatus knows too; then others that mean about the same;
// then the word in which older ones say their phase. notReady is what it means that Ready is false. A status that says none of it is
// no reason to doubt the object.
func (f Facts) byConditions(notReady topo.Health) Verdict {
	v, decided := f.byReady(notReady)
	if broken, reason := f.broken(); broken != topo.Unknown {
		return Verdict{Health: broken, Status: reason}
	}
	h, word := f.byPhase()
	switch {
	case h == topo.Error, !decided && word != "":
		return Verdict{Health: h, Status: word}
	case decided && f.behind():
		v.Status = "Reconciling"
	}
	return v
}

// alike are conditions that stand where others have Ready.
var alike = []string{"Available", "Healthy", "Established", "Accepted", "Programmed"}

func (f Facts) byReady(notReady topo.Health) (v Verdict, decided bool) {
	switch ready, reason := f.condition("Ready"); ready {
	case "True":
		return Verdict{Health: topo.OK, Status: "Ready"}, true
	case "False":
		return Verdict{Health: notReady, Status: cmpOr(reason, "NotReady")}, true
	case "Unknown":
		return Verdict{Health: topo.Progressing, Status: cmpOr(reason, "NotReady")}, true
	}
	for _, name := range alike {
		switch status, reason := f.condition(name); status {
		case "True":
			return Verdict{Health: topo.OK, Status: name}, true
		case "False":
			return Verdict{Health: topo.Progressing, Status: cmpOr(reason, "Not"+name)}, true
		case "Unknown":
			return Verdict{Health: topo.Progressing, Status: cmpOr(reason, name+"Unknown")}, true
		}
	}
	return Verdict{Health: topo.OK}, false
}

// broken looks for conditions that say outright what is wrong. Unknown is nothing.
func (f Facts) broken() (topo.Health, string) {
	for _, c := range f.items(ofConditions) {
		switch {
		case c[0] == "Failed" && c[1] == "True", c[0] == "Succeeded" && c[1] == "False", c[0] == "Synced" && c[1] == "False" && c[2] == "ReconcileError":
			return topo.Error, cmpOr(c[2], "Failed")
		case c[0] == "Degraded" && c[1] == "True":
			return topo.Warning, cmpOr(c[2], "Degraded")
		case c[0] == "Succeeded" && c[1] == "Unknown":
			return topo.Progressing, cmpOr(c[2], "Running")
		}
	}
	return topo.Unknown, ""
}

// phases are words that say how it goes. One that isn't here is a state among others.
var phases = map[string]topo.Health{
	"failed": topo.Error, "error": topo.Error, "errored": topo.Error, "failure": topo.Error,
	"degraded": topo.Warning, "partiallyfailed": topo.Warning, "warning": topo.Warning,
	"pending": topo.Progressing, "creating": topo.Progressing, "provisioning": topo.Progressing, "updating": topo.Progressing, "upgrading": topo.Progressing,
	"progressing": topo.Progressing, "initializing": topo.Progressing, "reconciling": topo.Progressing, "scaling": topo.Progressing, "scalingup": topo.Progressing,
	"scalingdown": topo.Progressing, "deleting": topo.Progressing, "terminating": topo.Progressing, "inprogress": topo.Progressing, "starting": topo.Progressing,
	"installing": topo.Progressing, "waiting": topo.Progressing,
	"unknown": topo.Unknown,
}

// maxPhase is the longest word of a phase: what is longer is a sentence.
const maxPhase = 40

func (f Facts) byPhase() (topo.Health, string) {
	word := cmpOr(f.own(0), f.own(1))
	if word == Present || len(word) > maxPhase || strings.Contains(word, " ") {
		return topo.OK, ""
	}
	if h, ok := phases[strings.ToLower(word)]; ok {
		return h, word
	}
	return topo.OK, word
}
