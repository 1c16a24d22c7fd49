package health

import (
	"strings"

	"github.com/kubilitics/kubilitics/shared/topo"
)

// phase judges kinds that say it in one word, which is the initial one where nobody has looked at the object yet; further fields become
// attributes. A word that isn't known has the other health.
func phase(initial string, healths map[string]topo.Health, other topo.Health, attrs ...string) func(Facts) Verdict {
	return func(f Facts) Verdict {
		word := cmpOr(f.own(0), initial)
		v := Verdict{Health: other, Status: word, Attrs: make([]topo.Pair, 0, len(attrs)+2)}
		if h, ok := healths[word]; ok {
			v.Health = h
		}
		for i, key := range attrs {
			if value := f.own(i + 1); value != "" {
				v.Attrs = append(v.Attrs, topo.Pair{Key: key, Value: value})
			}
		}
		return v
	}
}

// pressures are what a Node may suffer from while it is ready.
var pressures = []string{"MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable"}

func node(f Facts) Verdict {
	ready, _ := f.condition("Ready")
	v := verdict(topo.Unknown, "NotReady", "arch", f.own(3), "ip", joined(f.items(ofSecond)), "kubelet", f.own(1), "os", f.own(2))
	switch ready {
	case "True":
		v.Health, v.Status = topo.OK, "Ready"
		for _, p := range pressures {
			if f.is(p) {
				v.Health = topo.Warning
			}
		}
	case "False":
		v.Health = topo.Error
	case "":
		v.Status = "Unknown"
	}
	if f.own(0) == "true" {
		v.Status += ",SchedulingDisabled"
		if v.Health == topo.OK {
			v.Health = topo.Warning
		}
	}
	return v
}

const (
	ofSelector     = ofSecond
	ofPorts        = ofThird
	ofClusterIPs   = ofFourth
	ofExternalIPs  = ofFifth
	ofLoadBalancer = ofSixth
)

func service(f Facts) Verdict {
	kind, clusterIP, selector := cmpOr(f.own(0), "ClusterIP"), f.own(1), ""
	if s := f.value(ofSelector, 0); s != "" && s != Present {
		selector = "yes"
	}
	external := addresses(f.items(ofLoadBalancer))
	inner := f.items(ofClusterIPs)
	if len(inner) == 0 {
		inner = [][]string{{clusterIP}}
	}
	v := verdict(topo.OK, "", "clusterIP", clusterIP, "externalName", f.own(2), "ip", strings.TrimPrefix(strings.TrimPrefix(joined(inner, f.items(ofExternalIPs), external), "None"), " "),
		"loadBalancer", strings.Join(distinct([][][]string{external}), ","), "ports", f.ports(), "selector", selector, "type", kind)
	if kind == "LoadBalancer" && (len(external) == 0 || clusterIP == "") {
		v.Health, v.Status = topo.Progressing, "Pending"
	}
	return v
}

func (f Facts) ports() string {
	var ports []string
	for _, p := range f.items(ofPorts) {
		ports = append(ports, p[0]+"/"+cmpOr(p[1], "TCP"))
	}
	return strings.Join(ports, ",")
}

// addresses are what a load balancer listens at: an IP, or a name.
func addresses(items [][]string) [][]string {
	var out [][]string
	for _, i := range items {
		out = append(out, []string{cmpOr(i[0], i[1])})
	}
	return out
}

func ingress(f Facts) Verdict {
	return verdict(topo.OK, "", "class", f.own(0), "hosts", strings.Join(distinct([][][]string{f.items(ofSecond)}), ","), "ip", joined(addresses(f.items(ofThird))))
}

func secret(f Facts) Verdict { return verdict(topo.OK, "", "type", f.own(0)) }

func attachment(f Facts) Verdict {
	switch {
	case f.own(1) != "":
		return verdict(topo.Error, "AttachError")
	case f.own(2) != "":
		return verdict(topo.Error, "DetachError")
	case f.own(0) == "true":
		return verdict(topo.OK, "Attached")
	default:
		return verdict(topo.Progressing, "Attaching")
	}
}

// signingRequest words as kubectl does: the types of its conditions count, whatever their status.
func signingRequest(f Facts) Verdict {
	has := func(name string) bool { status, _ := f.condition(name); return status != "" }
	v := verdict(topo.Progressing, "Pending")
	switch {
	case has("Denied"):
		v.Health, v.Status = topo.Warning, "Denied"
	case has("Approved"):
		v.Status = "Approved"
	}
	if has("Failed") {
		v.Health, v.Status = topo.Error, v.Status+",Failed"
	}
	if f.own(0) != "" {
		v.Health, v.Status = topo.OK, v.Status+",Issued"
	}
	return v
}

func resourceClaim(f Facts) Verdict {
	word := "pending"
	switch {
	case f.own(0) != "" && len(f.items(ofSecond)) > 0:
		word = "allocated,reserved"
	case f.own(0) != "":
		word = "allocated"
	}
	return verdict(topo.OK, word)
}

// flowSchema judges by whether the priority level that it names is there.
func flowSchema(f Facts) Verdict {
	if status, reason := f.condition("Dangling"); status == "True" {
		return verdict(topo.Warning, cmpOr(reason, "Dangling"))
	}
	return verdict(topo.OK, "")
}

// definition goes by the first condition that decides.
func definition(f Facts) Verdict {
	for _, c := range f.items(ofConditions) {
		switch {
		case c[0] == "NamesAccepted" && c[1] == "False":
			return verdict(topo.Error, cmpOr(c[2], "NamesNotAccepted"))
		case c[0] == "Established" && c[1] == "False" && c[2] != "Installing":
			return verdict(topo.Error, cmpOr(c[2], "NotEstablished"))
		case c[0] == "Established" && c[1] == "True":
			return verdict(topo.OK, "Established")
		}
	}
	return verdict(topo.Progressing, "Installing")
}

func apiService(f Facts) Verdict {
	switch status, reason := f.condition("Available"); status {
	case "True":
		return verdict(topo.OK, "Available")
	case "False":
		return verdict(topo.Error, cmpOr(reason, "Unavailable"))
	case "Unknown":
		return verdict(topo.Unknown, cmpOr(reason, "Unknown"))
	default:
		return verdict(topo.Progressing, "Pending")
	}
}

// admissionPolicy warns of expressions that don't fit the kinds they are to judge.
func admissionPolicy(f Facts) Verdict {
	if len(f.items(ofSecond)) > 0 {
		return verdict(topo.Warning, "TypeCheckWarnings")
	}
	return verdict(topo.OK, "")
}
