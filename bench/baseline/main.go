// The peer of bench/scale: what quorate does for a cluster at the API server, as a plain controller-runtime operator would.
//
// Same children, same status, same number of workers, no client-side rate limit; caches hold only what is labelled and drop
// managedFields; Secrets and Leases are read live. It has no rollouts, no guards and no operations.
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

const workers = 4

func main() {
	ctrl.SetLogger(zap.New())
	if err := run(ctrl.SetupSignalHandler()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	config, err := ctrl.GetConfig()
	if err != nil {
		return err
	}
	config.QPS = -1 // the API server's fairness decides, as for quorate
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return err
	}
	addToScheme(scheme)
	children := labels.SelectorFromSet(labels.Set{labelManagedBy: managedBy})
	labelled := map[client.Object]cache.ByObject{}
	for _, object := range watched() {
		labelled[object] = cache.ByObject{Label: children}
	}
	manager, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:                  scheme,
		Cache:                   cache.Options{ByObject: labelled, DefaultTransform: cache.TransformStripManagedFields()},
		Client:                  client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&corev1.Secret{}, &coordinationv1.Lease{}}}},
		Metrics:                 metricsserver.Options{BindAddress: "0"},
		LeaderElection:          true,
		LeaderElectionID:        "quorate-operator",
		LeaderElectionNamespace: os.Getenv("QUORATE_OPERATOR_NAMESPACE"),
		// Its Lease is free at once for the next process, as quorate's is.
		LeaderElectionReleaseOnCancel: true,
	})
	if err != nil {
		return err
	}
	build := ctrl.NewControllerManagedBy(manager).For(&ClusterSpec{}).
		WithOptions(controller.Options{MaxConcurrentReconciles: workers})
	for _, object := range watched() {
		build = build.Watches(object, handler.EnqueueRequestsFromMapFunc(toCluster))
	}
	if err := build.Complete(&reconciler{Client: manager.GetClient(), secrets: newSecrets(manager.GetClient())}); err != nil {
		return err
	}
	serve(ctx, manager)
	return manager.Start(ctx)
}

func watched() []client.Object {
	return []client.Object{
		&corev1.Pod{}, &appsv1.StatefulSet{}, &corev1.PersistentVolumeClaim{}, &corev1.Service{}, &corev1.ConfigMap{},
		&corev1.ServiceAccount{}, &policyv1.PodDisruptionBudget{}, &networkingv1.NetworkPolicy{}, &rbacv1.Role{},
		&rbacv1.RoleBinding{}, &discoveryv1.EndpointSlice{}, &appsv1.ControllerRevision{},
	}
}

func toCluster(_ context.Context, object client.Object) []reconcile.Request {
	name := object.GetLabels()[labelCluster]
	if name == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: object.GetNamespace(), Name: name}}}
}

// serve answers at the paths and the port that the benchmark asks of every operator.
func serve(ctx context.Context, manager ctrl.Manager) {
	var synced atomic.Bool
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(metrics.Registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("/readyz", func(response http.ResponseWriter, _ *http.Request) {
		if !synced.Load() {
			response.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	go func() { synced.Store(manager.GetCache().WaitForCacheSync(ctx)) }()
	go func() { _ = http.ListenAndServe("127.0.0.1:"+os.Getenv("QUORATE_HEALTH_PORT"), mux) }()
}
