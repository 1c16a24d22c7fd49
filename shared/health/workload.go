package health

import (
	"strconv"

	"github.com/kubilitics/kubilitics/shared/topo"
)

// counted is the verdict of a workload, whose word is how many of its replicas are ready.
func (f Facts) counted(whole bool, ready, want int, available, updated string) Verdict {
	v := verdict(topo.Progressing, ratio(ready, want), "available", cmpOr(available, "0"), "images", sorted(f.items(ofSecond), f.items(ofThird)),
		"ready", ratio(ready, want), "replicas", strconv.Itoa(want), "updated", updated)
	if whole {
		v.Health = topo.OK
	}
	if f.is("ReplicaFailure") { // a quota or a policy refuses its Pods, and goes on refusing
		v.Health = topo.Error
	}
	return v
}

func deployment(f Facts) Verdict {
	want, have, updated, ready, available := f.number(0, 1), f.number(1, 0), f.number(2, 0), f.number(3, 0), f.number(4, 0)
	_, progress := f.condition("Progressing")
	rolled := f.own(5) == "" || f.own(5) == noDeadline || f.is("Progressing") && progress == "NewReplicaSetAvailable"
	v := f.counted(have == want && updated >= want && available >= updated && ready >= want && rolled && f.is("Available"), ready, want, f.own(4), f.own(2))
	if progress == "ProgressDeadlineExceeded" {
		v.Health = topo.Error
	}
	return v
}

func replicaSet(f Facts) Verdict {
	want, have, labelled, ready, available := f.number(0, 1), f.number(1, 0), f.number(2, 0), f.number(3, 0), f.number(4, 0)
	return f.counted(have <= want && labelled >= want && available >= want && ready >= want, ready, want, f.own(4), "")
}

func statefulSet(f Facts) Verdict {
	want, have, updated, ready, current := f.number(0, 1), f.number(1, 0), f.number(2, 0), f.number(3, 0), f.number(4, 0)
	whole := have == want && ready >= want
	switch partition := f.number(7, -1); {
	case f.own(6) == "OnDelete": // which revision runs is up to people
	case partition != -1:
		whole = whole && updated >= want-partition
	default:
		whole = whole && current >= want && f.own(8) == f.own(9)
	}
	return f.counted(whole, ready, want, f.own(5), f.own(2))
}

func daemonSet(f Facts) Verdict {
	want, current, updated, ready, available := f.number(0, 0), f.number(1, 0), f.number(2, 0), f.number(3, 0), f.number(4, 0)
	seen := f.own(0) != "" && f.value(ofObject, 1) != "" && f.value(ofObject, 2) != ""
	return f.counted(seen && min(current, updated, available, ready) >= want, ready, want, f.own(4), f.own(2))
}

// job is well while it runs, as kstatus has it: failing Pods are what a Job is there to cope with.
func job(f Facts) Verdict {
	v := verdict(topo.OK, "Running", "completions", f.completions(), "images", sorted(f.items(ofSecond), f.items(ofThird)))
	switch {
	case f.is("Complete"):
		v.Status, v.deletion = "Complete", f.deleted()
		if f.first("Complete", "Failed") == "Failed" {
			v.Health = topo.Error
		}
	case f.is("Failed"):
		v.Health, v.Status, v.deletion = topo.Error, "Failed", f.deleted()
	case f.is("Suspended"):
		v.Status = "Suspended"
	case f.is("FailureTarget"):
		v.Health, v.Status = topo.Error, "FailureTarget"
	case f.is("SuccessCriteriaMet"):
		v.Status = "SuccessCriteriaMet"
	case f.own(3) == "":
		v.Health = topo.Progressing
	}
	if v.deletion {
		v.Health = topo.Progressing
	}
	return v
}

// completions are as kubectl counts them.
func (f Facts) completions() string {
	done := cmpOr(f.own(2), "0")
	switch parallel := f.number(1, 0); {
	case f.own(0) != "":
		return done + "/" + f.own(0)
	case parallel > 1:
		return done + "/1 of " + strconv.Itoa(parallel)
	default:
		return done + "/1"
	}
}

func cronJob(f Facts) Verdict {
	v := verdict(topo.OK, "Scheduled", "images", sorted(f.items(ofSecond), f.items(ofThird)), "schedule", f.own(0))
	if f.own(1) == "true" {
		v.Status = "Suspended"
	}
	return v
}

func podTemplates(f Facts) Verdict {
	return verdict(topo.OK, "", "images", sorted(f.items(ofSecond), f.items(ofThird)))
}

func autoscaler(f Facts) Verdict {
	v := verdict(topo.OK, cmpOr(f.own(2), "0")+"/"+cmpOr(f.own(3), "0"), "current", f.own(2), "desired", f.own(3), "max", f.own(1), "min", cmpOr(f.own(0), "1"))
	able, why := f.condition("AbleToScale")
	active, whyNot := f.condition("ScalingActive")
	switch {
	case able == "False":
		v.Health, v.Status = topo.Error, cmpOr(why, "NotAbleToScale")
	case active == "False" && whyNot != "ScalingDisabled":
		v.Health, v.Status = topo.Warning, cmpOr(whyNot, "NotScalingActive")
	}
	return v
}

func budget(f Facts) Verdict {
	current, desired := f.number(0, 0), f.number(1, 0)
	v := verdict(topo.OK, ratio(current, desired), "allowed", f.own(2), "maxUnavailable", f.own(4), "minAvailable", f.own(3))
	if current < desired {
		v.Health = topo.Warning
	}
	return v
}

// noDeadline is the deadline of Deployments that have none: the largest number there is.
const noDeadline = "2147483647"
