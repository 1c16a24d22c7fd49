package rules

import "github.com/kubilitics/kubilitics/shared/topo"

const externalSecrets = "external-secrets.io"

// certManagerRows is who issues certificates, and into which Secrets. A ClusterIssuer's own Secrets are in a namespace that
// only cert-manager's flags say, so they aren't drawn.
var certManagerRows = []Row{
	{
		Name: "certificate-issuer", Type: topo.References,
		From: append(of("cert-manager.io", "Certificate", "CertificateRequest"), of("acme.cert-manager.io", "Order", "Challenge")...),
		At:   []string{"spec.issuerRef"},
		Ref:  &Ref{Kind: "kind", Group: "group", Name: "name", Default: "Issuer.cert-manager.io", SameGroup: true},
		Doc:  "The certificate is issued by it.",
	},
	{
		Name: "certificate-secret", Type: topo.References, From: of("cert-manager.io", "Certificate"),
		At: []string{"spec.secretName"}, Ref: &Ref{To: "Secret"},
		Doc: "The certificate and its key are kept in the Secret.",
	},
	{
		Name: "certificate-secret-keystore", Type: topo.References, From: of("cert-manager.io", "Certificate"),
		At: []string{"spec.keystores.{jks,pkcs12}.passwordSecretRef.name"}, Ref: &Ref{To: "Secret"},
		Doc: "The Secret has the password of the certificate's keystore.",
	},
	{
		Name: "ingress-issuer", Type: topo.References,
		From: []string{"Ingress.networking.k8s.io", "Gateway." + gatewayAPI},
		At:   []string{"metadata.annotations['cert-manager.io/issuer']"},
		Ref: &Ref{
			Kind: "$.metadata.annotations['cert-manager.io/issuer-kind']", Group: "$.metadata.annotations['cert-manager.io/issuer-group']",
			Default: "Issuer.cert-manager.io", SameGroup: true,
		},
		Doc: "The certificates of its hosts are issued by it.",
	},
	{
		Name: "ingress-clusterissuer", Type: topo.References,
		From: []string{"Ingress.networking.k8s.io", "Gateway." + gatewayAPI},
		At:   []string{"metadata.annotations['cert-manager.io/cluster-issuer']"},
		Ref:  &Ref{To: "ClusterIssuer.cert-manager.io", Cluster: true},
		Doc:  "The certificates of its hosts are issued by it.",
	},
	{
		Name: "issuer-secret", Type: topo.References, From: of("cert-manager.io", "Issuer"),
		At: []string{
			"spec.ca.secretName",
			"spec.acme.{privateKeySecretRef,externalAccountBinding.keySecretRef}.name",
			"spec.vault.auth.{tokenSecretRef,appRole.secretRef,kubernetes.secretRef}.name",
			"spec.venafi.{tpp.credentialsRef,cloud.apiTokenSecretRef}.name",
			"spec.acme.solvers[*].dns01.{acmeDNS.accountSecretRef,azureDNS.clientSecretSecretRef,cloudDNS.serviceAccountSecretRef," +
				"cloudflare.apiKeySecretRef,cloudflare.apiTokenSecretRef,digitalocean.tokenSecretRef," +
				"rfc2136.tsigSecretSecretRef,route53.accessKeyIDSecretRef,route53.secretAccessKeySecretRef}.name",
		},
		Ref: &Ref{To: "Secret"},
		Doc: "The issuer signs, or proves who it is, with what is in the Secret.",
	},
}

// storeSecrets is where stores of the better known providers name the Secrets that open them.
var storeSecrets = []string{
	"spec.provider.aws.auth.secretRef.{accessKeyIDSecretRef,secretAccessKeySecretRef,sessionTokenSecretRef}",
	"spec.provider.vault.auth.{tokenSecretRef,appRole.roleRef,appRole.secretRef,kubernetes.secretRef,ldap.secretRef," +
		"userPass.secretRef,jwt.secretRef,cert.clientCert,cert.secretRef}",
	"spec.provider.gcpsm.auth.secretRef.secretAccessKeySecretRef",
	"spec.provider.azurekv.authSecretRef.{clientId,clientSecret,tenantId,clientCertificate}",
	"spec.provider.kubernetes.auth.{token.bearerToken,cert.clientCert,cert.clientKey}",
	"spec.provider.gitlab.auth.SecretRef.accessToken",
	"spec.provider.github.auth.privateKey",
	"spec.provider.doppler.auth.secretRef.dopplerToken",
	"spec.provider.onepassword.auth.secretRef.connectTokenSecretRef",
	"spec.provider.akeyless.authSecretRef.secretRef.{accessID,accessType,accessTypeParam}",
	"spec.provider.bitwardensecretsmanager.auth.secretRef.credentials",
	"spec.provider.ibm.auth.secretRef.secretApiKeySecretRef",
	"spec.provider.webhook.secrets[*].secretRef",
}

// storeRefs is where External Secrets name stores.
var storeRefs = []string{
	"spec.secretStoreRef", "spec.data[*].sourceRef.storeRef", "spec.dataFrom[*].sourceRef.storeRef", "spec.secretStoreRefs[*]",
}

// externalSecretsRows is which Secrets are copied from where.
var externalSecretsRows = []Row{
	{
		Name: "externalsecret-store", Type: topo.References, From: of(externalSecrets, "ExternalSecret", "PushSecret"),
		At:  storeRefs,
		Ref: &Ref{Kind: "kind", Name: "name", Default: "SecretStore." + externalSecrets, SameGroup: true},
		Doc: "It reads from the store, or writes to it.",
	},
	{
		Name: "clusterexternalsecret-store", Type: topo.References, From: of(externalSecrets, "ClusterExternalSecret"),
		At:    []string{"spec.externalSecretSpec.secretStoreRef"},
		Where: []Where{{Path: "kind", Is: []string{"ClusterSecretStore"}}},
		Ref:   &Ref{To: "ClusterSecretStore." + externalSecrets, Name: "name", Cluster: true},
		Doc:   "The ExternalSecrets that it makes read from the store.",
	},
	{
		Name: "externalsecret-secret", Type: topo.References, From: of(externalSecrets, "ExternalSecret"),
		At: []string{"metadata.name"}, Func: "externalSecretTarget", Fields: []string{"", "$.spec.target.name"},
		// With a manifest, what is made is of another kind.
		Where: []Where{{Path: "$.spec.target.creationPolicy", Not: []string{"None"}}, {Path: "$.spec.target.manifest", Is: []string{""}}},
		Keep:  []Keep{{Attr: "creationPolicy", Path: "$.spec.target.creationPolicy"}},
		Doc:   "What is read is kept in the Secret.",
	},
	{
		Name: "externalsecret-generator", Type: topo.References, From: of(externalSecrets, "ExternalSecret"),
		At:  []string{"spec.{data,dataFrom}[*].sourceRef.generatorRef"},
		Ref: &Ref{Kind: "kind", APIVersion: "apiVersion", Name: "name"},
		Doc: "The value is made by the generator.",
	},
	{
		Name: "pushsecret-secret", Type: topo.References, From: of(externalSecrets, "PushSecret"),
		At: []string{"spec.selector.secret.name"}, Ref: &Ref{To: "Secret"},
		Doc: "The Secret is written to the stores.",
	},
	{
		Name: "secretstore-secret", Type: topo.References, From: of(externalSecrets, "SecretStore"),
		At: storeSecrets, Ref: &Ref{To: "Secret", Name: "name"},
		Doc: "The store is opened with what is in the Secret.",
	},
	{
		// Without a namespace, it is that of whoever uses the store: not one Secret, but many.
		Name: "clustersecretstore-secret", Type: topo.References, From: of(externalSecrets, "ClusterSecretStore"),
		At: storeSecrets, Ref: &Ref{To: "Secret", Name: "name", Namespace: "namespace"},
		Where: []Where{{Path: "namespace", Not: []string{""}}},
		Doc:   "The store is opened with what is in the Secret.",
	},
	{
		Name: "secretstore-serviceaccount", Type: topo.References, From: of(externalSecrets, "SecretStore"),
		At: []string{
			"spec.provider.{aws.auth.jwt,vault.auth.kubernetes,gcpsm.auth.workloadIdentity,azurekv}.serviceAccountRef",
			"spec.provider.kubernetes.auth.serviceAccount",
		},
		Ref: &Ref{To: "ServiceAccount", Name: "name"},
		Doc: "The store is opened as the ServiceAccount.",
	},
}
