package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const rememberedFor = 10 * time.Minute

// secrets makes the objects that are not watched: once, and looks every ten minutes whether they are there.
type secrets struct {
	client client.Client
	mutex  sync.Mutex
	seen   map[client.ObjectKey]time.Time
}

func newSecrets(c client.Client) *secrets {
	return &secrets{client: c, seen: map[client.ObjectKey]time.Time{}}
}

func (s *secrets) ensure(ctx context.Context, b builder) error {
	key := client.ObjectKeyFromObject(b.cluster)
	s.mutex.Lock()
	known := time.Since(s.seen[key]) < rememberedFor
	s.mutex.Unlock()
	if known {
		return nil
	}
	if err := s.ensureLease(ctx, b); err != nil {
		return err
	}
	if err := s.ensureCertificates(ctx, b); err != nil {
		return err
	}
	if err := s.ensurePasswords(ctx, b); err != nil {
		return err
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.seen[key] = time.Now()
	return nil
}

func (s *secrets) ensureLease(ctx context.Context, b builder) error {
	lease := &coordinationv1.Lease{}
	err := s.client.Get(ctx, client.ObjectKeyFromObject(b.cluster), lease)
	if !apierrors.IsNotFound(err) {
		return err
	}
	lease = &coordinationv1.Lease{ObjectMeta: b.meta(b.cluster.Name), Spec: coordinationv1.LeaseSpec{
		HolderIdentity: ptr.To(""), LeaseTransitions: ptr.To(int32(0)),
	}}
	return s.client.Create(ctx, lease)
}

func (s *secrets) ensurePasswords(ctx context.Context, b builder) error {
	name := b.cluster.Name + "-credentials"
	err := s.client.Get(ctx, client.ObjectKey{Namespace: b.cluster.Namespace, Name: name}, &corev1.Secret{})
	if !apierrors.IsNotFound(err) {
		return err
	}
	data := map[string][]byte{}
	for _, account := range b.engine.Spec.Accounts {
		password := make([]byte, 24)
		if _, err := rand.Read(password); err != nil {
			return err
		}
		data[account.Name] = []byte(base64.RawURLEncoding.EncodeToString(password))
	}
	meta := b.meta(name)
	meta.OwnerReferences = nil
	if err := s.client.Create(ctx, &corev1.Secret{ObjectMeta: meta, Data: data}); err != nil {
		return client.IgnoreAlreadyExists(err)
	}
	return s.createConnections(ctx, b, data)
}

// createConnections makes what applications connect with, for each account that is meant for them.
func (s *secrets) createConnections(ctx context.Context, b builder, passwords map[string][]byte) error {
	for _, account := range b.engine.Spec.Accounts {
		if account.Connection == nil {
			continue
		}
		fields := map[string]string{
			"type": account.Connection.Type, "host": fmt.Sprintf("%s-rw.%s.svc", b.cluster.Name, b.cluster.Namespace),
			"port": fmt.Sprint(b.engine.Spec.Port), "username": account.Name, "database": account.Connection.Database,
			"password": string(passwords[account.Name]),
		}
		uri := account.Connection.URI
		for key, value := range fields {
			uri = strings.ReplaceAll(uri, "$("+key+")", url.PathEscape(value))
		}
		fields["uri"] = uri
		secret := &corev1.Secret{
			ObjectMeta: b.meta(b.cluster.Name + "-" + account.Name), Type: corev1.SecretType("servicebinding.io/" + account.Connection.Type),
			StringData: fields,
		}
		if err := s.client.Create(ctx, secret); client.IgnoreAlreadyExists(err) != nil {
			return err
		}
	}
	return nil
}

func (s *secrets) ensureCertificates(ctx context.Context, b builder) error {
	peer := client.ObjectKey{Namespace: b.cluster.Namespace, Name: b.cluster.Name + "-peer"}
	err := s.client.Get(ctx, peer, &corev1.Secret{})
	if !apierrors.IsNotFound(err) {
		return err
	}
	authority, authorityKey, err := certificate("quorate "+b.cluster.Name, 10*365, nil, nil, nil)
	if err != nil {
		return err
	}
	hosts := []string{fmt.Sprintf("*.%s-members.%s.svc", b.cluster.Name, b.cluster.Namespace)}
	leaf, leafKey, err := certificate("quorate member", 3*365, hosts, authority, authorityKey)
	if err != nil {
		return err
	}
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority.Raw})
	secret := func(suffix string, kind corev1.SecretType, data map[string][]byte) *corev1.Secret {
		return &corev1.Secret{ObjectMeta: b.meta(b.cluster.Name + suffix), Type: kind, Data: data}
	}
	caKey, err := encodeKey(authorityKey)
	if err != nil {
		return err
	}
	if err := s.client.Create(ctx, secret("-ca", corev1.SecretTypeOpaque, map[string][]byte{"ca.crt": ca, "ca.key": caKey})); err != nil {
		return client.IgnoreAlreadyExists(err)
	}
	key, err := encodeKey(leafKey)
	if err != nil {
		return err
	}
	crt := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw})
	data := map[string][]byte{"ca.crt": ca, "tls.crt": crt, "tls.key": key}
	return s.client.Create(ctx, secret("-peer", corev1.SecretTypeTLS, data))
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	bytes, err := x509.MarshalPKCS8PrivateKey(key)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: bytes}), err
}

func certificate(name string, days int, hosts []string, issuer *x509.Certificate, issuerKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, DNSNames: hosts,
		NotBefore: time.Now().Add(-5 * time.Minute), NotAfter: time.Now().AddDate(0, 0, days),
		IsCA: issuer == nil, BasicConstraintsValid: true,
	}
	if issuer == nil {
		issuer, issuerKey = template, key
		template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	} else {
		template.KeyUsage = x509.KeyUsageDigitalSignature
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	}
	bytes, err := x509.CreateCertificate(rand.Reader, template, issuer, &key.PublicKey, issuerKey)
	if err != nil {
		return nil, nil, err
	}
	made, err := x509.ParseCertificate(bytes)
	return made, key, err
}
