// Package node installs both charts on a real node, as people do, and lives with them: what helm and kubectl do here is done by helm and kubectl, through a hub that runs in a pod, to a
// cluster whose agent runs in another. There is a real node where kube.NodeLacks finds nothing wanting; elsewhere any cluster will do that isn't anybody's home:
//
//	KUBILITICS_NODE_KUBECONFIG  its kubeconfig; the namespace kubilitics must not be there yet
//	KUBILITICS_NODE_IMAGES      where its nodes find kubilitics-hub:dev, kubilitics-agent:dev and kubilitics-tools:dev (a static busybox, also as sh, tar and cat); "localhost" unless given
//
// Such a cluster's default StorageClass serves the hub, and its node isn't restarted. NetworkPolicies are installed; the plain network of the node made here doesn't enforce them.
package node
