package rules

import "github.com/kubilitics/kubilitics/shared/topo"

// storageRows is where data is kept.
var storageRows = []Row{
	{
		Name: "persistentvolumeclaim-persistentvolume", Type: topo.Binds, From: []string{"PersistentVolumeClaim"},
		Ref: &Ref{To: "PersistentVolume", Name: "spec.volumeName", Cluster: true},
		Doc: "The claim is bound to the volume.",
	},
	{
		Name: "persistentvolume-persistentvolumeclaim", Type: topo.Binds, From: []string{"PersistentVolume"},
		At: []string{"spec.claimRef"}, Ref: &Ref{To: "PersistentVolumeClaim", Name: "name", Namespace: "namespace"},
		Doc: "The volume is bound to the claim, or kept for it.",
	},
	{
		Name: "volume-storageclass", Type: topo.References, From: []string{"PersistentVolumeClaim", "PersistentVolume"},
		Ref: &Ref{To: "StorageClass.storage.k8s.io", Name: "spec.storageClassName", Cluster: true},
		Doc: "The class says how the volume is made.",
	},
}
