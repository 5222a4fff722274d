package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

type reconciler struct {
	client.Client
	secrets *secrets
}

// Reconcile brings one cluster's children and status in order.
func (r *reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	cluster := &ClusterSpec{}
	if err := r.Get(ctx, request.NamespacedName, cluster); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !cluster.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, nil
	}
	engine := &Engine{}
	if err := r.Get(ctx, client.ObjectKey{Name: cluster.Spec.Engine.Name}, engine); err != nil {
		return ctrl.Result{}, err
	}
	b := builder{cluster: cluster, engine: engine, image: engine.Spec.Versions[0].Image}
	pods, err := r.pods(ctx, b)
	if err != nil {
		return ctrl.Result{}, err
	}
	initialized := cluster.Status.Initialized
	for _, pod := range pods {
		initialized = initialized || reportOf(pod).Role == "leader"
	}
	if err := r.ensureChildren(ctx, b, initialized); err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{}, r.report(ctx, b, pods, initialized)
}

func (r *reconciler) pods(ctx context.Context, b builder) ([]*corev1.Pod, error) {
	pods := []*corev1.Pod{}
	for _, member := range b.members() {
		pod := &corev1.Pod{}
		err := r.Get(ctx, client.ObjectKey{Namespace: b.cluster.Namespace, Name: member + "-0"}, pod)
		if err == nil {
			pods = append(pods, pod)
		} else if !apierrors.IsNotFound(err) {
			return nil, err
		}
	}
	return pods, nil
}

func (r *reconciler) ensureChildren(ctx context.Context, b builder, initialized bool) error {
	if err := r.secrets.ensure(ctx, b); err != nil {
		return err
	}
	for _, member := range b.members() {
		if err := r.createIfMissing(ctx, b.volume(member), &corev1.PersistentVolumeClaim{}); err != nil {
			return err
		}
	}
	for _, suffix := range []string{"-rw", "-ro"} {
		if err := r.createIfMissing(ctx, b.endpointSlice(suffix), &discoveryv1.EndpointSlice{}); err != nil {
			return err
		}
	}
	for _, desired := range b.applied(initialized) {
		if err := r.applyIfDifferent(ctx, desired); err != nil {
			return err
		}
	}
	return nil
}

func (r *reconciler) createIfMissing(ctx context.Context, desired, live client.Object) error {
	err := r.Get(ctx, client.ObjectKeyFromObject(desired), live)
	if !apierrors.IsNotFound(err) {
		return err
	}
	return client.IgnoreAlreadyExists(r.Create(ctx, desired))
}

// applyIfDifferent applies what another hash was applied of, or what somebody changed since.
func (r *reconciler) applyIfDifferent(ctx context.Context, desired client.Object) error {
	annotations := desired.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	hash := hashOf(desired)
	annotations[annotationHash] = hash
	desired.SetAnnotations(annotations)
	kind, err := apiutil.GVKForObject(desired, r.Scheme())
	if err != nil {
		return err
	}
	found, err := r.Scheme().New(kind)
	if err != nil {
		return err
	}
	live := found.(client.Object)
	err = r.Get(ctx, client.ObjectKeyFromObject(desired), live)
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	if err == nil && live.GetAnnotations()[annotationHash] == hash {
		live.GetObjectKind().SetGroupVersionKind(kind)
		if equality.Semantic.DeepDerivative(withServersPart(desired, live), live) {
			return nil
		}
	}
	return r.Patch(ctx, desired, client.Apply, client.ForceOwnership, client.FieldOwner("quorate")) //nolint:staticcheck
}

// withServersPart fills in what the API server and its controllers decide. DeepDerivative passes over what is left out, but
// compares times and numbers also when they are zero.
func withServersPart(desired, live client.Object) client.Object {
	filled := desired.DeepCopyObject().(client.Object)
	filled.SetCreationTimestamp(live.GetCreationTimestamp())
	filled.SetGeneration(live.GetGeneration())
	switch object := filled.(type) {
	case *appsv1.StatefulSet:
		object.Status = live.(*appsv1.StatefulSet).Status
	case *policyv1.PodDisruptionBudget:
		object.Status = live.(*policyv1.PodDisruptionBudget).Status
	}
	return filled
}

func reportOf(pod *corev1.Pod) report {
	said := report{}
	_ = json.Unmarshal([]byte(pod.Annotations["quorate.io/member-status"]), &said)
	return said
}

// report writes the status unless it is what is there.
func (r *reconciler) report(ctx context.Context, b builder, pods []*corev1.Pod, initialized bool) error {
	cluster := b.cluster
	status := Status{
		ObservedGeneration: cluster.Generation, Conditions: append([]metav1.Condition(nil), cluster.Status.Conditions...),
		DesiredMembers: cluster.Spec.Members, EngineImage: b.image, Initialized: initialized, Selector: selectorText(b.selector()),
	}
	inSync := int32(0)
	for _, pod := range pods {
		said := reportOf(pod)
		member := MemberStatus{
			Name: strings.TrimSuffix(pod.Name, "-0"), Role: "None", State: "Pending", Ready: isReady(pod), Node: pod.Spec.NodeName,
			Revision: pod.Annotations["quorate.io/template-hash"],
		}
		status.TemplateHash = member.Revision
		if said.State != "" {
			member.State, member.Epoch = said.State, said.Epoch
			member.Role = map[string]string{"leader": "Leader", "follower": "Follower"}[said.Role]
		}
		if said.Role == "leader" && said.State == "Running" {
			status.Leader, status.Epoch = member.Name, said.Epoch
		} else {
			member.Lag = said.LagBucket
		}
		if member.Ready {
			status.ReadyMembers++
			if said.State == "Running" {
				inSync++
			}
		}
		status.Members = append(status.Members, member)
	}
	status.ReadyRatio = fmt.Sprintf("%d/%d", status.ReadyMembers, cluster.Spec.Members)
	setConditions(&status, inSync == cluster.Spec.Members, cluster.Generation)
	if equality.Semantic.DeepEqual(status, cluster.Status) {
		return nil
	}
	before := cluster.DeepCopy()
	cluster.Status = status
	return r.Status().Patch(ctx, cluster, client.MergeFrom(before)) // the cache may be behind: an update would be a conflict
}

func setConditions(status *Status, allInSync bool, generation int64) {
	set := func(kind string, is bool, reason, message string) {
		value := metav1.ConditionFalse
		if is {
			value = metav1.ConditionTrue
		}
		meta.SetStatusCondition(&status.Conditions, metav1.Condition{
			Type: kind, Status: value, Reason: reason, Message: message, ObservedGeneration: generation,
		})
	}
	leads := status.Leader != ""
	set("Available", leads, map[bool]string{true: "LeaderServes", false: "NoLeader"}[leads], status.Leader+" leads.")
	set("Degraded", !allInSync, map[bool]string{true: "AllMembersInSync", false: "MembersNotInSync"}[allInSync], "Members in sync: "+status.ReadyRatio+".")
	set("Progressing", !allInSync, map[bool]string{true: "UpToDate", false: "Changing"}[allInSync], "Generation "+fmt.Sprint(generation)+".")
	ready := leads && allInSync
	set("Ready", ready, map[bool]string{true: "AllMembersInSync", false: "NotReady"}[ready], "Members in sync: "+status.ReadyRatio+".")
}

func isReady(pod *corev1.Pod) bool {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}
