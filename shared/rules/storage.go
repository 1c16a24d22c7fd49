package rules

import "github.com/kubilitics/kubilitics/shared/topo"

const snapshotGroup = "snapshot.storage.k8s.io"

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
	{
		Name: "volume-volumeattributesclass", Type: topo.References, From: []string{"PersistentVolumeClaim", "PersistentVolume"},
		Ref: &Ref{To: "VolumeAttributesClass.storage.k8s.io", Name: "spec.volumeAttributesClassName", Cluster: true},
		Doc: "The class says what of the volume may be changed while it is in use.",
	},
	{
		// Drivers need not announce themselves by a CSIDriver, and other provisioners can't.
		Name: "storageclass-csidriver", Type: topo.References, From: []string{"StorageClass.storage.k8s.io"},
		At: []string{"provisioner"}, Ref: &Ref{To: "CSIDriver.storage.k8s.io", Cluster: true},
		Where: []Where{{Path: "", Not: []string{"kubernetes.io/no-provisioner"}}}, Keep: always("optional"),
		Doc: "The driver makes the volumes of the class.",
	},
	{
		Name: "persistentvolume-csidriver", Type: topo.References, From: []string{"PersistentVolume"},
		At: []string{"spec.csi.driver"}, Ref: &Ref{To: "CSIDriver.storage.k8s.io", Cluster: true}, Keep: always("optional"),
		Doc: "The driver brings the volume to where it is used.",
	},
	{
		Name: "persistentvolumeclaim-source", Type: topo.References, From: []string{"PersistentVolumeClaim"},
		At:  []string{"spec.{dataSourceRef,dataSource}"},
		Ref: &Ref{Kind: "kind", Group: "apiGroup", Name: "name", Namespace: "namespace", Granted: true},
		Doc: "The claim's volume begins with the content of the source.",
	},
	{
		Name: "volumesnapshot-persistentvolumeclaim", Type: topo.References, From: []string{"VolumeSnapshot." + snapshotGroup},
		At: []string{"spec.source.persistentVolumeClaimName"}, Ref: &Ref{To: "PersistentVolumeClaim"},
		Doc: "The snapshot is of the claim's volume.",
	},
	{
		Name: "volumesnapshot-volumesnapshotcontent", Type: topo.Binds, From: []string{"VolumeSnapshot." + snapshotGroup},
		At:  []string{"status.boundVolumeSnapshotContentName", "spec.source.volumeSnapshotContentName"},
		Ref: &Ref{To: "VolumeSnapshotContent." + snapshotGroup, Cluster: true},
		Doc: "The snapshot is bound to the content.",
	},
	{
		Name: "volumesnapshotcontent-volumesnapshot", Type: topo.Binds, From: []string{"VolumeSnapshotContent." + snapshotGroup},
		At: []string{"spec.volumeSnapshotRef"}, Ref: &Ref{To: "VolumeSnapshot." + snapshotGroup, Name: "name", Namespace: "namespace"},
		Doc: "The content is bound to the snapshot.",
	},
	{
		Name: "snapshot-volumesnapshotclass", Type: topo.References,
		From: []string{"VolumeSnapshot." + snapshotGroup, "VolumeSnapshotContent." + snapshotGroup},
		At:   []string{"spec.volumeSnapshotClassName"}, Ref: &Ref{To: "VolumeSnapshotClass." + snapshotGroup, Cluster: true},
		Doc: "The class says how the snapshot is taken.",
	},
	{
		Name: "snapshot-csidriver", Type: topo.References,
		From: []string{"VolumeSnapshotClass." + snapshotGroup, "VolumeSnapshotContent." + snapshotGroup},
		At:   []string{"{driver,spec.driver}"}, Ref: &Ref{To: "CSIDriver.storage.k8s.io", Cluster: true}, Keep: always("optional"),
		Doc: "The driver takes and keeps the snapshots.",
	},
	{
		Name: "volumeattachment-persistentvolume", Type: topo.Binds, From: []string{"VolumeAttachment.storage.k8s.io"},
		At: []string{"spec.source.persistentVolumeName"}, Ref: &Ref{To: "PersistentVolume", Cluster: true},
		Keep: []Keep{{Attr: "attached", Path: "$.status.attached"}},
		Doc:  "The volume is attached, or to be attached.",
	},
	{
		Name: "volumeattachment-node", Type: topo.References, From: []string{"VolumeAttachment.storage.k8s.io"},
		At: []string{"spec.nodeName"}, Ref: &Ref{To: "Node", Cluster: true},
		Keep: []Keep{{Attr: "attached", Path: "$.status.attached"}},
		Doc:  "The volume is attached to the Node, or to be attached.",
	},
	{
		Name: "volumeattachment-csidriver", Type: topo.References, From: []string{"VolumeAttachment.storage.k8s.io"},
		At: []string{"spec.attacher"}, Ref: &Ref{To: "CSIDriver.storage.k8s.io", Cluster: true}, Keep: always("optional"),
		Doc: "The driver attaches the volume.",
	},
	{
		Name: "csinode-node", Type: topo.References, From: []string{"CSINode.storage.k8s.io"},
		At: []string{"metadata.name"}, Ref: &Ref{To: "Node", Cluster: true},
		Doc: "It says which drivers the Node has.",
	},
	{
		Name: "csinode-csidriver", Type: topo.References, From: []string{"CSINode.storage.k8s.io"},
		At: []string{"spec.drivers[*].name"}, Ref: &Ref{To: "CSIDriver.storage.k8s.io", Cluster: true}, Keep: always("optional"),
		Doc: "The Node has the driver.",
	},
	{
		// By the label that the affinity means, which need not be the Node's name. Affinities to zones pick too many Nodes to be
		// drawn, and say less.
		Name: "persistentvolume-node", Type: topo.RunsOn, From: []string{"PersistentVolume"},
		At: []string{"spec.nodeAffinity.required.nodeSelectorTerms[*]"}, Func: "volumeNodes", Fields: []string{"matchExpressions", "matchFields"},
		Doc: "The volume can be used on this Node only.",
	},
	{
		Name: "persistentvolume-secret", Type: topo.References, From: []string{"PersistentVolume"},
		At: []string{
			"spec.csi.{controllerPublish,nodeStage,nodePublish,controllerExpand,nodeExpand}SecretRef",
			"spec.{cephfs,flexVolume,iscsi,rbd,scaleIO,storageos}.secretRef",
		},
		Ref: &Ref{To: "Secret", Name: "name", Namespace: "namespace"},
		Doc: "The volume's driver is given the Secret.",
	},
	{
		Name: "persistentvolume-secret-azurefile", Type: topo.References, From: []string{"PersistentVolume"},
		At: []string{"spec.azureFile"}, Ref: &Ref{To: "Secret", Name: "secretName", Namespace: "secretNamespace"},
		Doc: "The share is opened with the Secret.",
	},
}
