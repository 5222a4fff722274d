package main

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is that of quorate's own kinds: both operators serve the same objects.
var GroupVersion = schema.GroupVersion{Group: "quorate.io", Version: "v1alpha1"}

// ClusterSpec is a cluster, with the fields that this operator reads.
type ClusterSpec struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              Intent `json:"spec,omitempty"`
	Status            Status `json:"status,omitempty"`
}

// Intent is what the user wants.
type Intent struct {
	Engine     EngineRef         `json:"engine"`
	Members    int32             `json:"members,omitempty"`
	Storage    Storage           `json:"storage,omitempty"`
	Durability Durability        `json:"durability,omitempty"`
	Failover   Failover          `json:"failover,omitempty"`
	Paused     bool              `json:"paused,omitempty"`
	Parameters map[string]string `json:"parameters,omitempty"`
}

// EngineRef names an Engine.
type EngineRef struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
}

// Storage is the size of volumes.
type Storage struct {
	Data struct {
		Size string `json:"size,omitempty"`
	} `json:"data,omitempty"`
}

// Durability says what an acknowledged write is.
type Durability struct {
	Mode         string `json:"mode,omitempty"`
	WhenDegraded string `json:"whenDegraded,omitempty"`
}

// Failover sets timing and the lag that a new leader may have.
type Failover struct {
	Profile string `json:"profile,omitempty"`
	MaxLag  string `json:"maxLag,omitempty"`
}

// Status is what the operator reports.
type Status struct {
	ObservedGeneration int64              `json:"observedGeneration,omitempty"`
	Conditions         []metav1.Condition `json:"conditions,omitempty"`
	Members            []MemberStatus     `json:"members,omitempty"`
	ReadyMembers       int32              `json:"readyMembers"`
	ReadyRatio         string             `json:"readyRatio,omitempty"`
	DesiredMembers     int32              `json:"desiredMembers"`
	Selector           string             `json:"selector,omitempty"`
	Leader             string             `json:"leader,omitempty"`
	Epoch              int64              `json:"epoch,omitempty"`
	EngineImage        string             `json:"engineImage,omitempty"`
	TemplateHash       string             `json:"templateHash,omitempty"`
	Initialized        bool               `json:"initialized,omitempty"`
}

// MemberStatus is one member as it was last seen.
type MemberStatus struct {
	Name     string `json:"name"`
	Role     string `json:"role"`
	State    string `json:"state"`
	Ready    bool   `json:"ready"`
	Node     string `json:"node,omitempty"`
	Revision string `json:"revision,omitempty"`
	Lag      string `json:"lag,omitempty"`
	Epoch    int64  `json:"epoch,omitempty"`
}

// ClusterSpecList is a list of them.
type ClusterSpecList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ClusterSpec `json:"items"`
}

// Engine is how one kind of software forms a cluster, with the fields that this operator reads.
type Engine struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              EngineSpec `json:"spec,omitempty"`
}

// EngineSpec is the part of an Engine that shows in children.
type EngineSpec struct {
	Versions []struct {
		Version string `json:"version"`
		Image   string `json:"image"`
	} `json:"versions"`
	Port  int32             `json:"port"`
	Files map[string]string `json:"files,omitempty"`
	RunAs struct {
		User  int64 `json:"user"`
		Group int64 `json:"group"`
	} `json:"runAs"`
	Accounts []struct {
		Name       string      `json:"name"`
		Connection *Connection `json:"connection,omitempty"`
	} `json:"accounts,omitempty"`
	Parameters struct {
		Defaults map[string]string `json:"defaults,omitempty"`
	} `json:"parameters,omitempty"`
}

// Connection is what applications that use an account need beside its name and password.
type Connection struct {
	Type     string `json:"type"`
	Database string `json:"database,omitempty"`
	URI      string `json:"uri"`
}

// EngineList is a list of them.
type EngineList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Engine `json:"items"`
}

// report is what an agent says on its pod.
type report struct {
	Role      string `json:"role"`
	Epoch     int64  `json:"epoch"`
	State     string `json:"state"`
	LagBucket string `json:"lagBucket"`
}

func addToScheme(scheme *runtime.Scheme) {
	scheme.AddKnownTypes(GroupVersion, &ClusterSpec{}, &ClusterSpecList{}, &Engine{}, &EngineList{})
	metav1.AddToGroupVersion(scheme, GroupVersion)
}

// The copies that controller-gen would write.

func (in *ClusterSpec) DeepCopyObject() runtime.Object { return in.DeepCopy() }

// DeepCopy copies everything that the copy's owner may change.
func (in *ClusterSpec) DeepCopy() *ClusterSpec {
	out := *in
	in.ObjectMeta.DeepCopyInto(&out.ObjectMeta)
	out.Spec.Parameters = copyMap(in.Spec.Parameters)
	out.Status.Members = append([]MemberStatus(nil), in.Status.Members...)
	out.Status.Conditions = append([]metav1.Condition(nil), in.Status.Conditions...)
	return &out
}

func (in *ClusterSpecList) DeepCopyObject() runtime.Object {
	out := ClusterSpecList{TypeMeta: in.TypeMeta, ListMeta: *in.ListMeta.DeepCopy()}
	for i := range in.Items {
		out.Items = append(out.Items, *in.Items[i].DeepCopy())
	}
	return &out
}

func (in *Engine) DeepCopyObject() runtime.Object { return in.DeepCopy() }

// DeepCopy copies everything that the copy's owner may change.
func (in *Engine) DeepCopy() *Engine {
	out := *in
	in.ObjectMeta.DeepCopyInto(&out.ObjectMeta)
	out.Spec.Files = copyMap(in.Spec.Files)
	out.Spec.Parameters.Defaults = copyMap(in.Spec.Parameters.Defaults)
	return &out
}

func (in *EngineList) DeepCopyObject() runtime.Object {
	out := EngineList{TypeMeta: in.TypeMeta, ListMeta: *in.ListMeta.DeepCopy()}
	for i := range in.Items {
		out.Items = append(out.Items, *in.Items[i].DeepCopy())
	}
	return &out
}

func copyMap(in map[string]string) map[string]string {
	if in == nil {
		return nil
	}
	out := make(map[string]string, len(in))
	for key, value := range in {
		out[key] = value
	}
	return out
}
