package main

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"sort"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	labelManagedBy = "app.kubernetes.io/managed-by"
	labelCluster   = "quorate.io/cluster"
	labelMember    = "quorate.io/member"
	managedBy      = "quorate"
	annotationHash = "quorate.io/applied-hash"
	agentImage     = "quorate/agent:dev"
	peerPort       = 7411
	healthPort     = 7412
	initPort       = 7414
)

// builder makes the children of one cluster.
type builder struct {
	cluster *ClusterSpec
	engine  *Engine
	image   string
}

func (b builder) members() []string {
	names := make([]string, b.cluster.Spec.Members)
	for i := range names {
		names[i] = fmt.Sprintf("%s-%d", b.cluster.Name, i)
	}
	return names
}

func (b builder) labels() map[string]string {
	return map[string]string{
		labelManagedBy:               managedBy,
		"app.kubernetes.io/instance": b.cluster.Name,
		"app.kubernetes.io/name":     b.engine.Name,
		labelCluster:                 b.cluster.Name,
	}
}

func (b builder) memberLabels(member string) map[string]string {
	labels := b.labels()
	labels[labelMember] = member
	return labels
}

func (b builder) selector() map[string]string {
	return map[string]string{labelManagedBy: managedBy, labelCluster: b.cluster.Name}
}

func (b builder) meta(name string) metav1.ObjectMeta {
	owner := metav1.OwnerReference{
		APIVersion: GroupVersion.String(), Kind: "ClusterSpec", Name: b.cluster.Name, UID: b.cluster.UID,
		Controller: ptr.To(true), BlockOwnerDeletion: ptr.To(false),
	}
	return metav1.ObjectMeta{
		Name: name, Namespace: b.cluster.Namespace, Labels: b.labels(), OwnerReferences: []metav1.OwnerReference{owner},
	}
}

// applied are the children that are kept equal to what is built here.
func (b builder) applied(initialized bool) []client.Object {
	name := b.cluster.Name
	objects := append(b.access(), b.services()...)
	objects = append(objects, b.networkPolicy(), b.engineFiles(), &policyv1.PodDisruptionBudget{
		TypeMeta:   metav1.TypeMeta{APIVersion: "policy/v1", Kind: "PodDisruptionBudget"},
		ObjectMeta: b.meta(name),
		Spec: policyv1.PodDisruptionBudgetSpec{
			MinAvailable:               ptr.To(intstr.FromInt32(b.cluster.Spec.Members - 1)),
			Selector:                   &metav1.LabelSelector{MatchLabels: b.selector()},
			UnhealthyPodEvictionPolicy: ptr.To(policyv1.AlwaysAllow),
		},
	}, b.intent(initialized))
	for _, member := range b.members() {
		objects = append(objects, b.statefulSet(member))
	}
	if initialized {
		objects = append(objects, b.revision())
	}
	return objects
}

func (b builder) access() []client.Object {
	name := b.cluster.Name + "-member"
	pods := []string{}
	for _, member := range b.members() {
		pods = append(pods, member+"-0")
	}
	cluster := b.cluster.Name
	return []client.Object{
		&corev1.ServiceAccount{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"}, ObjectMeta: b.meta(name)},
		&rbacv1.Role{
			TypeMeta: metav1.TypeMeta{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "Role"}, ObjectMeta: b.meta(name),
			Rules: []rbacv1.PolicyRule{
				{APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}, ResourceNames: []string{cluster}, Verbs: []string{"get", "list", "watch", "update"}},
				{APIGroups: []string{"discovery.k8s.io"}, Resources: []string{"endpointslices"}, ResourceNames: []string{cluster + "-rw", cluster + "-ro"}, Verbs: []string{"get", "list", "watch", "update"}},
				{APIGroups: []string{""}, Resources: []string{"configmaps"}, ResourceNames: []string{cluster + "-intent"}, Verbs: []string{"list", "watch"}},
				{APIGroups: []string{""}, Resources: []string{"pods"}, ResourceNames: pods, Verbs: []string{"get", "patch"}},
				{APIGroups: []string{"events.k8s.io"}, Resources: []string{"events"}, Verbs: []string{"create", "patch"}},
			},
		},
		&rbacv1.RoleBinding{
			TypeMeta: metav1.TypeMeta{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "RoleBinding"}, ObjectMeta: b.meta(name),
			RoleRef:  rbacv1.RoleRef{APIGroup: "rbac.authorization.k8s.io", Kind: "Role", Name: name},
			Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Name: name, Namespace: b.cluster.Namespace}},
		},
	}
}

func (b builder) services() []client.Object {
	port := b.engine.Spec.Port
	service := func(suffix string, spec corev1.ServiceSpec) client.Object {
		return &corev1.Service{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Service"}, ObjectMeta: b.meta(b.cluster.Name + suffix), Spec: spec,
		}
	}
	ports := []corev1.ServicePort{{Name: "client", Port: port, TargetPort: intstr.FromInt32(port), Protocol: corev1.ProtocolTCP}}
	return []client.Object{
		service("-rw", corev1.ServiceSpec{Type: corev1.ServiceTypeClusterIP, Ports: ports}),
		service("-ro", corev1.ServiceSpec{Type: corev1.ServiceTypeClusterIP, Ports: ports}),
		service("-r", corev1.ServiceSpec{Type: corev1.ServiceTypeClusterIP, Ports: ports, Selector: b.selector()}),
		service("-members", corev1.ServiceSpec{
			Type: corev1.ServiceTypeClusterIP, ClusterIP: "None", PublishNotReadyAddresses: true, Selector: b.selector(),
			Ports: []corev1.ServicePort{
				{Name: "peer", Port: peerPort, TargetPort: intstr.FromInt32(peerPort), Protocol: corev1.ProtocolTCP},
				{Name: "engine", Port: port, TargetPort: intstr.FromInt32(port), Protocol: corev1.ProtocolTCP},
			},
		}),
	}
}

func (b builder) networkPolicy() client.Object {
	tcp := func(port int32) networkingv1.NetworkPolicyPort {
		return networkingv1.NetworkPolicyPort{Port: ptr.To(intstr.FromInt32(port)), Protocol: ptr.To(corev1.ProtocolTCP)}
	}
	members := metav1.LabelSelector{MatchLabels: map[string]string{labelCluster: b.cluster.Name}}
	return &networkingv1.NetworkPolicy{
		TypeMeta: metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy"}, ObjectMeta: b.meta(b.cluster.Name),
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: b.selector()},
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
			Ingress: []networkingv1.NetworkPolicyIngressRule{
				{Ports: []networkingv1.NetworkPolicyPort{tcp(b.engine.Spec.Port), tcp(healthPort)}},
				{From: []networkingv1.NetworkPolicyPeer{{PodSelector: &members}}, Ports: []networkingv1.NetworkPolicyPort{tcp(peerPort), tcp(initPort)}},
			},
		},
	}
}

func (b builder) engineFiles() client.Object {
	spec, _ := json.Marshal(b.engine.Spec)
	data := copyMap(b.engine.Spec.Files)
	if data == nil {
		data = map[string]string{}
	}
	data["engine.json"] = string(spec)
	return &corev1.ConfigMap{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}, ObjectMeta: b.meta(b.cluster.Name + "-engine"), Data: data,
	}
}

func (b builder) intent(initialized bool) client.Object {
	spec := b.cluster.Spec
	members := []map[string]any{}
	for _, member := range b.members() {
		host := fmt.Sprintf("%s-0.%s-members.%s.svc", member, b.cluster.Name, b.cluster.Namespace)
		members = append(members, map[string]any{
			"name": member, "host": host, "agentPort": peerPort, "initPort": initPort, "enginePort": b.engine.Spec.Port,
		})
	}
	parameters := copyMap(b.engine.Spec.Parameters.Defaults)
	for key, value := range spec.Parameters {
		parameters[key] = value
	}
	maxLag := resource.MustParse(spec.Failover.MaxLag)
	bootstrap := ptr.To(b.members()[0])
	if initialized {
		bootstrap = nil
	}
	content := map[string]any{
		"generation": b.cluster.Generation, "members": members, "bootstrapMember": bootstrap, "durability": spec.Durability,
		"profile": spec.Failover.Profile, "maxLagBytes": fmt.Sprint(maxLag.Value()), "paused": spec.Paused,
		"switchover": nil, "restart": nil, "rebuild": nil, "parameters": parameters,
	}
	if initialized {
		content["initializedFor"] = b.cluster.UID
	}
	text, _ := json.Marshal(content)
	return &corev1.ConfigMap{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}, ObjectMeta: b.meta(b.cluster.Name + "-intent"),
		Data: map[string]string{"intent.json": string(text)},
	}
}

func (b builder) volume(member string) *corev1.PersistentVolumeClaim {
	annotations := map[string]string{"quorate.io/cluster-uid": string(b.cluster.UID)}
	return &corev1.PersistentVolumeClaim{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PersistentVolumeClaim"},
		ObjectMeta: metav1.ObjectMeta{
			Name: member + "-data", Namespace: b.cluster.Namespace, Labels: b.memberLabels(member), Annotations: annotations,
		},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources: corev1.VolumeResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(b.cluster.Spec.Storage.Data.Size)},
			},
		},
	}
}

func (b builder) endpointSlice(suffix string) *discoveryv1.EndpointSlice {
	meta := b.meta(b.cluster.Name + suffix)
	meta.Labels["kubernetes.io/service-name"] = meta.Name
	meta.Labels["endpointslice.kubernetes.io/managed-by"] = "quorate.io"
	return &discoveryv1.EndpointSlice{
		ObjectMeta: meta, AddressType: discoveryv1.AddressTypeIPv4, Endpoints: []discoveryv1.Endpoint{},
		Ports: []discoveryv1.EndpointPort{{Name: ptr.To("client"), Port: ptr.To(b.engine.Spec.Port), Protocol: ptr.To(corev1.ProtocolTCP)}},
	}
}

func (b builder) statefulSet(member string) client.Object {
	template := b.podTemplate(member)
	meta := b.meta(member)
	meta.Labels = b.memberLabels(member)
	return &appsv1.StatefulSet{
		TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "StatefulSet"}, ObjectMeta: meta,
		Spec: appsv1.StatefulSetSpec{
			Replicas: ptr.To(int32(1)), ServiceName: b.cluster.Name + "-members",
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{
				labelManagedBy: managedBy, labelCluster: b.cluster.Name, labelMember: member,
			}},
			PodManagementPolicy:  appsv1.ParallelPodManagement,
			UpdateStrategy:       appsv1.StatefulSetUpdateStrategy{Type: appsv1.OnDeleteStatefulSetStrategyType},
			RevisionHistoryLimit: ptr.To(int32(1)),
			Template:             template,
		},
	}
}

// revision keeps the template that all members run, to go back to.
func (b builder) revision() client.Object {
	template := b.podTemplate("any-member")
	text, _ := json.Marshal(template)
	quoted, _ := json.Marshal(map[string]string{"template": string(text)})
	hash := template.Annotations["quorate.io/template-hash"]
	meta := b.meta(b.cluster.Name + "-" + hash)
	meta.Labels["quorate.io/revision"] = hash
	return &appsv1.ControllerRevision{
		TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "ControllerRevision"}, ObjectMeta: meta,
		Data: runtime.RawExtension{Raw: quoted}, Revision: 1,
	}
}

func (b builder) podTemplate(member string) corev1.PodTemplateSpec {
	runAs := b.engine.Spec.RunAs
	restricted := &corev1.SecurityContext{
		AllowPrivilegeEscalation: ptr.To(false), ReadOnlyRootFilesystem: ptr.To(true),
		Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
	}
	selector := &metav1.LabelSelector{MatchLabels: b.selector()}
	probe := func(path string, period, timeout, failures int32) *corev1.Probe {
		get := &corev1.HTTPGetAction{Path: path, Port: intstr.FromInt32(healthPort), Scheme: corev1.URISchemeHTTP}
		return &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: get}, PeriodSeconds: period, TimeoutSeconds: timeout, SuccessThreshold: 1, FailureThreshold: failures}
	}
	field := func(name, path string) corev1.EnvVar {
		return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: path}}}
	}
	memory := func(name string) corev1.Volume {
		return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory}}}
	}
	secret := func(name string) corev1.Volume {
		return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: b.cluster.Name + "-" + name, DefaultMode: ptr.To(int32(0o440))}}}
	}
	mount := func(name, path string, readOnly bool) corev1.VolumeMount {
		return corev1.VolumeMount{Name: name, MountPath: path, ReadOnly: readOnly}
	}
	port := func(name string, number int32) corev1.ContainerPort {
		return corev1.ContainerPort{Name: name, ContainerPort: number, Protocol: corev1.ProtocolTCP}
	}
	template := corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{
			Labels:      b.memberLabels(member),
			Annotations: map[string]string{"kubectl.kubernetes.io/default-container": "engine"},
		},
		Spec: corev1.PodSpec{
			ServiceAccountName: b.cluster.Name + "-member", EnableServiceLinks: ptr.To(false), TerminationGracePeriodSeconds: ptr.To(int64(60)),
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot: ptr.To(true), RunAsUser: ptr.To(runAs.User), RunAsGroup: ptr.To(runAs.Group), FSGroup: ptr.To(runAs.Group),
				FSGroupChangePolicy: ptr.To(corev1.FSGroupChangeOnRootMismatch), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			Affinity: &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
				PreferredDuringSchedulingIgnoredDuringExecution: []corev1.WeightedPodAffinityTerm{
					{Weight: 100, PodAffinityTerm: corev1.PodAffinityTerm{TopologyKey: "kubernetes.io/hostname", LabelSelector: selector}},
				},
			}},
			TopologySpreadConstraints: []corev1.TopologySpreadConstraint{
				{MaxSkew: 1, TopologyKey: "kubernetes.io/hostname", WhenUnsatisfiable: corev1.ScheduleAnyway, LabelSelector: selector},
			},
			InitContainers: []corev1.Container{{
				Name: "install", Image: agentImage, ImagePullPolicy: corev1.PullIfNotPresent, Args: []string{"install", "/runtime"}, SecurityContext: restricted,
				Resources: corev1.ResourceRequirements{
					Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("50m"), corev1.ResourceMemory: resource.MustParse("64Mi")},
					Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("256Mi")},
				},
				VolumeMounts: []corev1.VolumeMount{mount("runtime", "/runtime", false)},
			}},
			Containers: []corev1.Container{{
				Name: "engine", Image: b.image, ImagePullPolicy: corev1.PullIfNotPresent, SecurityContext: restricted,
				Command: []string{
					"/quorate/bin/quorate-init", "--port", fmt.Sprint(initPort), "--stop-signal", "2", "--", "/quorate/lib/ld-linux-x86-64.so.2",
					"--library-path", "/quorate/lib", "/quorate/bin/node", "--max-semi-space-size=1", "/quorate/agent.mjs", "run",
				},
				Env: []corev1.EnvVar{
					field("QUORATE_NAMESPACE", "metadata.namespace"), {Name: "QUORATE_CLUSTER", Value: b.cluster.Name}, {Name: "QUORATE_MEMBER", Value: member},
					field("QUORATE_POD", "metadata.name"), field("QUORATE_POD_UID", "metadata.uid"), field("QUORATE_POD_IP", "status.podIP"),
					field("QUORATE_NODE", "spec.nodeName"), {Name: "QUORATE_MEMORY_BYTES", Value: "536870912"},
				},
				Ports:          []corev1.ContainerPort{port("engine", b.engine.Spec.Port), port("peer", peerPort), port("health", healthPort), port("init", initPort)},
				StartupProbe:   probe("/livez", 1, 2, 120),
				ReadinessProbe: probe("/readyz", 2, 2, 3),
				LivenessProbe:  probe("/livez", 10, 5, 30),
				Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
					corev1.ResourceCPU: resource.MustParse("250m"), corev1.ResourceMemory: resource.MustParse("576Mi"),
				}},
				VolumeMounts: []corev1.VolumeMount{
					mount("data", "/data", false), mount("runtime", "/quorate", true), mount("tmp", "/tmp", false), mount("run", "/run", false),
					mount("shm", "/dev/shm", false), mount("engine-files", "/quorate-engine", true), mount("peer", "/quorate-peer", true),
					mount("credentials", "/quorate-credentials", true),
				},
			}},
			Volumes: []corev1.Volume{
				{Name: "data", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: member + "-data"}}},
				{Name: "runtime", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
				memory("tmp"), memory("run"), memory("shm"),
				{Name: "engine-files", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
					LocalObjectReference: corev1.LocalObjectReference{Name: b.cluster.Name + "-engine"}, DefaultMode: ptr.To(int32(0o555)),
				}}},
				secret("peer"), secret("credentials"),
			},
		},
	}
	template.Annotations["quorate.io/template-hash"] = hashOf(template)
	return template
}

// hashOf finds changes; encoding/json sorts the keys of maps.
func hashOf(value any) string {
	text, _ := json.Marshal(value)
	hash := fnv.New64a()
	_, _ = hash.Write(text)
	return fmt.Sprintf("%016x", hash.Sum64())
}

func selectorText(selector map[string]string) string {
	parts := []string{}
	for key, value := range selector {
		parts = append(parts, key+"="+value)
	}
	sort.Strings(parts)
	text := ""
	for i, part := range parts {
		if i > 0 {
			text += ","
		}
		text += part
	}
	return text
}
