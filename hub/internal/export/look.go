package export

import (
	"strings"
	"unicode"

	"github.com/kubilitics/kubilitics/shared/topo"
)

// Words of a node's JSON that decide how it looks.
const absent = "missing"

// shape is the form of a health's sign, so that nobody needs colours to read it.
type shape int

const (
	dot shape = iota
	ring
	triangle
	square
	hollow
)

// healthLook is how a health is shown.
type healthLook struct {
	Name   string
	Colour string
	Shape  shape
}

// healths are in the order of legends, the best first.
var healths = []healthLook{
	{"ok", "#15803d", dot},
	{"progressing", "#2563eb", ring},
	{"warning", "#d97706", triangle},
	{"error", "#dc2626", square},
	{"unknown", "#6b7280", hollow},
}

func healthOf(word string) healthLook {
	for _, h := range healths {
		if h.Name == word {
			return h
		}
	}
	return healths[len(healths)-1]
}

// edgeLook is how edges of a type are drawn.
type edgeLook struct {
	Colour string
	Dash   []float64 // lengths of lines and gaps; none is a whole line
}

func (e *edgeLook) style() string {
	switch {
	case len(e.Dash) == 0:
		return "solid"
	case e.Dash[0] < 3:
		return "dotted"
	}
	return "dashed"
}

var (
	dashes = []float64{6, 4}
	dots   = []float64{1.6, 3.4}
	mixed  = []float64{8, 3, 2, 3}
)

// edgeLooks differ in colour and in dashes, those that stand beside each other most often the most.
var edgeLooks = map[topo.EdgeType]edgeLook{
	topo.Owns:       {"#475569", nil},
	topo.Selects:    {"#0e7490", dashes},
	topo.Mounts:     {"#7c3aed", dots},
	topo.References: {"#a16207", dots},
	topo.Routes:     {"#1d4ed8", nil},
	topo.RunsOn:     {"#9aa3af", dashes},
	topo.Binds:      {"#be185d", nil},
	topo.Grants:     {"#b45309", mixed},
	topo.Scales:     {"#4d7c0f", dashes},
	topo.Protects:   {"#047857", mixed},
	topo.Allows:     {"#0f766e", dots},
	topo.Defines:    {"#64748b", mixed},
	topo.Intercepts: {"#9f1239", dashes},
	topo.Reports:    {"#94a3b8", dots},
}

func lookOf(edgeType string) *edgeLook {
	if l, ok := edgeLooks[topo.EdgeType(edgeType)]; ok {
		return &l
	}
	return &edgeLook{Colour: "#64748b"}
}

// abbreviations are kubectl's short names where it has them, as people write them.
var abbreviations = map[string]string{
	"Application": "App",
	"Certificate": "Cert", "CertificateSigningRequest": "CSR", "ClusterRole": "CRole", "ClusterRoleBinding": "CRB", "ClusterSetService": "SetSvc", "ConfigMap": "CM",
	"ControllerRevision": "Rev", "CronJob": "Cron", "CustomResourceDefinition": "CRD", "DaemonSet": "DS", "Deployment": "Deploy", "EndpointSlice": "EPS", "Endpoints": "EP",
	"Event": "Event", "Gateway": "GW", "GatewayClass": "GWC", "GitSource": "Git", "HorizontalPodAutoscaler": "HPA", "Host": "Host", "Image": "Image", "Ingress": "Ing",
	"IngressClass": "IngC", "IPBlock": "CIDR", "Job": "Job", "Lease": "Lease", "LimitRange": "Limit", "Namespace": "NS", "NetworkPolicy": "NetPol", "Node": "Node",
	"PersistentVolume": "PV", "PersistentVolumeClaim": "PVC", "Pod": "Pod", "PodDisruptionBudget": "PDB", "PodSet": "PodSet", "PriorityClass": "PC",
	"ReplicaSet": "RS", "ReplicationController": "RC", "ResourceQuota": "Quota", "Role": "Role", "RoleBinding": "RB", "RuntimeClass": "RtC", "Secret": "Secret",
	"Service": "Svc", "ServiceAccount": "SA", "StatefulSet": "STS", "StorageClass": "SC", "User": "User", "Group": "Group", "VolumeAttachment": "VA",
	"VolumeSnapshot": "Snap", "VerticalPodAutoscaler": "VPA", "HTTPRoute": "HTTP", "GRPCRoute": "gRPC",
}

const maxAbbreviation = 6 // letters

// abbreviate makes a kind short: by the list, else as it is where it is short, else by its capitals, else by its beginning.
func abbreviate(kind string) string {
	if a, ok := abbreviations[kind]; ok {
		return a
	}
	runes := []rune(kind)
	if len(runes) <= maxAbbreviation {
		return kind
	}
	capitals := strings.Map(func(r rune) rune {
		if unicode.IsUpper(r) {
			return r
		}
		return -1
	}, kind)
	if n := len([]rune(capitals)); n >= 2 {
		return string([]rune(capitals)[:min(n, maxAbbreviation)])
	}
	return string(runes[:maxAbbreviation-1]) + "."
}

// families are kinds that have to do with the same, by the colour of their badges.
var families = map[string]colour{
	"workload": hex("#2457a6"), "network": hex("#0f766e"), "config": hex("#6d3fb8"), "storage": hex("#9d3a6b"), "access": hex("#96591a"), "cluster": hex("#475569"),
}

var familyOf = map[string]string{
	"Deployment": "workload", "ReplicaSet": "workload", "StatefulSet": "workload", "DaemonSet": "workload", "Pod": "workload", "Job": "workload", "CronJob": "workload",
	"ReplicationController": "workload", "HorizontalPodAutoscaler": "workload", "VerticalPodAutoscaler": "workload", "PodDisruptionBudget": "workload", "PodSet": "workload",
	"Application": "workload", "Service": "network", "Ingress": "network", "IngressClass": "network", "EndpointSlice": "network", "Endpoints": "network", "NetworkPolicy": "network",
	"Gateway": "network", "GatewayClass": "network", "HTTPRoute": "network", "GRPCRoute": "network", "TLSRoute": "network", "TCPRoute": "network", "UDPRoute": "network",
	"VirtualService": "network", "DestinationRule": "network", "Host": "network", "IPBlock": "network", "ClusterSetService": "network",
	"ConfigMap": "config", "Secret": "config", "Certificate": "config", "Issuer": "config", "ClusterIssuer": "config", "ExternalSecret": "config",
	"PersistentVolume": "storage", "PersistentVolumeClaim": "storage", "StorageClass": "storage", "VolumeAttachment": "storage", "VolumeSnapshot": "storage",
	"VolumeSnapshotContent": "storage", "VolumeSnapshotClass": "storage", "CSIDriver": "storage", "CSINode": "storage",
	"Role": "access", "RoleBinding": "access", "ClusterRole": "access", "ClusterRoleBinding": "access", "ServiceAccount": "access", "User": "access", "Group": "access",
}

func badgeColour(kind string) colour {
	if f, ok := familyOf[kind]; ok {
		return families[f]
	}
	return families["cluster"]
}
