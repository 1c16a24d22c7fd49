package health

import (
	"slices"

	"github.com/kubilitics/kubilitics/shared/topo"
)

// phaseGroup is what rows have that go by byConditions.
var phaseGroup = []Group{own("status.phase", "status.state")}

// ecosystem are kinds from outside Kubernetes that say more than what byConditions reads.
var ecosystem = []Row{
	{Kinds: slices.Concat(
		in("serving.knative.dev", "Service", "Configuration", "Revision", "Route"),
		in("cert-manager.io", "Issuer", "ClusterIssuer"),
		in("external-secrets.io", "ExternalSecret", "ClusterExternalSecret", "SecretStore", "ClusterSecretStore", "PushSecret"),
		in("keda.sh", "ScaledObject", "ScaledJob"),
		in("source.toolkit.fluxcd.io", "GitRepository", "OCIRepository", "HelmRepository", "HelmChart", "Bucket"),
		in("kustomize.toolkit.fluxcd.io", "Kustomization"), in("helm.toolkit.fluxcd.io", "HelmRelease"),
	), Groups: phaseGroup, Judge: unready},
	{Kinds: in("cert-manager.io", "Certificate", "CertificateRequest"), Groups: phaseGroup, Judge: certificate},
	{Kinds: in("argoproj.io", "Application"), Groups: []Group{own("status.health.status", "status.sync.status")}, Judge: application},
	{Kinds: in("argoproj.io", "Rollout"), Groups: append([]Group{own("spec.replicas", "status.readyReplicas", "status.phase", "status.availableReplicas",
		"status.updatedReplicas")}, images(podTemplate)...), Judge: rollout},
	{Kinds: in("gateway.networking.k8s.io", "GatewayClass"), Judge: accepted},
	{Kinds: in("gateway.networking.k8s.io", "Gateway"), Groups: []Group{own("spec.gatewayClassName"), each("status.listeners[*].conditions", "type", "status", "reason"),
		each("status.addresses", "value")}, Judge: gateway},
	{Kinds: in("gateway.networking.k8s.io", "HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute"),
		Groups: []Group{own("spec.parentRefs"), each("status.parents[*].conditions", "type", "status", "reason")}, Judge: route},
	{Kinds: in("monitoring.coreos.com", "Prometheus", "PrometheusAgent", "Alertmanager", "ThanosRuler"), Groups: []Group{own("spec.replicas", "status.availableReplicas")}, Judge: operated},
	{Kinds: in("snapshot.storage.k8s.io", "VolumeSnapshot", "VolumeSnapshotContent"), Groups: []Group{own("status.readyToUse", "status.error")}, Judge: snapshot},
	{Kinds: in("multicluster.x-k8s.io", "ServiceExport"), Judge: serviceExport},
}

// certificate tells one that is on its way from one whose issuing was refused.
func certificate(f Facts) Verdict {
	v := f.byConditions(topo.Progressing)
	_, reason := f.condition("Ready")
	issuing, why := f.condition("Issuing")
	switch {
	case f.is("Denied"), f.is("InvalidRequest"), reason == "Failed", reason == "Denied", reason == "Expired":
		v.Health = topo.Error
	case issuing == "False" && why == "Failed":
		v.Health = topo.Warning // what was issued before may still hold
		if !f.is("Ready") {
			v.Health, v.Status = topo.Error, why
		}
	}
	return v
}

var applicationHealths = map[string]topo.Health{
	"Healthy": topo.OK, "Suspended": topo.OK, "Progressing": topo.Progressing, "Missing": topo.Warning, "Degraded": topo.Error, "Unknown": topo.Unknown,
}

// application is an Argo CD Application: as well as what it deploys, and a warning where that isn't what it should be.
func application(f Facts) Verdict {
	word, sync := f.own(0), f.own(1)
	v := verdict(topo.Progressing, cmpOr(word, "Pending"), "sync", sync)
	if word != "" {
		v.Health = applicationHealths[word]
	}
	if sync == "OutOfSync" && (v.Health == topo.OK || v.Health == topo.Unknown) {
		v.Health, v.Status = topo.Warning, v.Status+",OutOfSync"
	}
	return v
}

var rolloutHealths = map[string]topo.Health{"Healthy": topo.OK, "Progressing": topo.Progressing, "Paused": topo.Progressing, "Degraded": topo.Error}

// rollout is an Argo Rollout.
func rollout(f Facts) Verdict {
	want, ready := f.number(0, 1), f.number(1, 0)
	v := f.counted(ready >= want, ready, want, f.own(3), f.own(4))
	if word := f.own(2); word != "" {
		v.Health, v.Status = rolloutHealths[word], word
	}
	return v
}

func accepted(f Facts) Verdict {
	switch status, reason := f.condition("Accepted"); status {
	case "True":
		return verdict(topo.OK, "Accepted")
	case "False":
		return verdict(topo.Error, cmpOr(reason, "NotAccepted"))
	default:
		return verdict(topo.Progressing, "Pending")
	}
}

// gateway is well when it is accepted and programmed; a listener that can't serve is a warning.
func gateway(f Facts) Verdict {
	v := accepted(f)
	if v.Health == topo.OK {
		programmed, reason := f.condition("Programmed")
		listener := f.refusal(ofSecond)
		switch {
		case programmed == "True" && listener != "":
			v.Health, v.Status = topo.Warning, listener
		case programmed == "True":
			v.Status = "Programmed"
		default:
			v.Health, v.Status = topo.Progressing, cmpOr(reason, "Pending")
		}
	}
	v.Attrs = pairs("class", f.own(0), "ip", joined(f.items(ofThird)))
	return v
}

// refusal is the reason of the first condition in a group that says that something doesn't hold.
func (f Facts) refusal(group int) string {
	for _, c := range f.items(group) {
		switch {
		case c[0] == "Conflicted" && c[1] == "True", (c[0] == "Accepted" || c[0] == "ResolvedRefs" || c[0] == "Programmed") && c[1] == "False":
			return cmpOr(c[2], "Not"+c[0])
		}
	}
	return ""
}

// route asks every parent whether it takes the route.
func route(f Facts) Verdict {
	taken := slices.ContainsFunc(f.items(ofSecond), func(c []string) bool { return c[0] == "Accepted" && c[1] == "True" })
	refused := f.refusal(ofSecond)
	switch {
	case taken && refused == "":
		return verdict(topo.OK, "Accepted")
	case taken:
		return verdict(topo.Warning, refused)
	case refused != "":
		return verdict(topo.Error, refused)
	case f.own(0) == "":
		return verdict(topo.OK, "")
	default:
		return verdict(topo.Progressing, "Pending")
	}
}

// operated is what the Prometheus operator runs: its conditions may also say Degraded where others say False.
func operated(f Facts) Verdict {
	v := verdict(topo.Progressing, "Pending", "replicas", f.own(0))
	available, why := f.condition("Available")
	reconciled, whyNot := f.condition("Reconciled")
	switch {
	case reconciled == "False":
		v.Health, v.Status = topo.Error, cmpOr(whyNot, "NotReconciled")
	case available == "True":
		v.Health, v.Status = topo.OK, "Available"
	case available == "Degraded":
		v.Health, v.Status = topo.Warning, cmpOr(why, available)
	case available == "False":
		v.Health, v.Status = topo.Error, cmpOr(why, "NotAvailable")
	}
	return v
}

func snapshot(f Facts) Verdict {
	switch {
	case f.own(1) != "":
		return verdict(topo.Error, "Error")
	case f.own(0) == "true":
		return verdict(topo.OK, "ReadyToUse")
	default:
		return verdict(topo.Progressing, "Pending")
	}
}

func serviceExport(f Facts) Verdict {
	v := f.byConditions(topo.Progressing)
	if valid, reason := f.condition("Valid"); valid == "False" {
		v.Health, v.Status = topo.Error, cmpOr(reason, "NotValid")
	} else if f.is("Conflict") {
		v.Health, v.Status = topo.Warning, "Conflict"
	}
	return v
}
