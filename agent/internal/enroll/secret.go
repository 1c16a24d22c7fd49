package enroll

import (
	"context"
	"encoding/json"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// secretKey is the entry of the Secret's data that holds the text; other entries are left as they are.
const secretKey = "identity.json"

// Secret keeps it in a Kubernetes Secret, on which the agent must be allowed get, create and update.
func Secret(cfg *rest.Config, namespace, name string) (Keep, error) {
	own := rest.CopyConfig(cfg)
	own.GroupVersion = nil
	own.NegotiatedSerializer = statusOnly()
	own.AcceptContentTypes, own.ContentType = "application/json", "application/json"
	h, err := rest.HTTPClientFor(own)
	if err != nil {
		return nil, fault.Wrap(err, fault.BadRequest, "the connection to the Kubernetes API is configured wrongly")
	}
	c, err := rest.UnversionedRESTClientForConfigAndClient(own, h)
	if err != nil {
		return nil, fault.Wrap(err, fault.BadRequest, "the connection to the Kubernetes API is configured wrongly")
	}
	return &secret{client: c, namespace: namespace, name: name}, nil
}

// statusOnly decodes what an API server answers when it refuses. The typed client would bring every type of Kubernetes into an agent
// that needs one object.
func statusOnly() runtime.NegotiatedSerializer {
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})
	return serializer.NewCodecFactory(scheme).WithoutConversion()
}

type secret struct {
	client          *rest.RESTClient
	namespace, name string
	last            *secretObject // as it was loaded or saved; nil when there is none
}

// secretObject is a core/v1 Secret as far as it is used here.
type secretObject struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Metadata   metav1.ObjectMeta `json:"metadata"`
	Type       string            `json:"type,omitempty"`
	Data       map[string][]byte `json:"data,omitempty"`
}

func (s *secret) Load(ctx context.Context) ([]byte, error) {
	body, err := s.client.Get().AbsPath("/api/v1/namespaces", s.namespace, "secrets", s.name).Do(ctx).Raw()
	if apierrors.IsNotFound(err) {
		s.last = nil
		return nil, fault.New(fault.NotFound, "there is no Secret %s/%s yet", s.namespace, s.name)
	}
	if err := s.take(body, err); err != nil {
		return nil, err
	}
	text, ok := s.last.Data[secretKey]
	if !ok {
		return nil, fault.New(fault.NotFound, "the Secret %s/%s holds no identity yet", s.namespace, s.name)
	}
	return text, nil
}

// Save writes over the version that was seen last only: of two processes with one identity, the second must look first.
func (s *secret) Save(ctx context.Context, text []byte) error {
	next := secretObject{
		APIVersion: "v1", Kind: "Secret", Type: "Opaque",
		Metadata: metav1.ObjectMeta{Name: s.name, Namespace: s.namespace},
	}
	request := s.client.Post().AbsPath("/api/v1/namespaces", s.namespace, "secrets")
	if s.last != nil {
		next = *s.last
		request = s.client.Put().AbsPath("/api/v1/namespaces", s.namespace, "secrets", s.name)
	}
	data := map[string][]byte{secretKey: text}
	for key, value := range next.Data {
		if key != secretKey {
			data[key] = value
		}
	}
	next.Data = data
	body, err := json.Marshal(next)
	if err != nil {
		return fault.Wrap(err, fault.Internal, "the Secret has no JSON form")
	}
	answer, err := request.Body(body).SetHeader("Content-Type", "application/json").Do(ctx).Raw()
	return s.take(answer, err)
}

// take remembers the Secret as the API server has it.
func (s *secret) take(body []byte, err error) error {
	if err != nil {
		return s.explain(err)
	}
	var got secretObject
	if err := json.Unmarshal(body, &got); err != nil {
		return fault.Wrap(err, fault.Unavailable, "the Kubernetes API answered something that is no Secret")
	}
	s.last = &got
	return nil
}

func (s *secret) explain(err error) error {
	switch {
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err), apierrors.IsNotFound(err):
		return fault.Wrap(err, fault.Conflict, "the Secret %s/%s was changed by another process", s.namespace, s.name)
	case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
		return fault.Wrap(err, fault.Forbidden, "the agent may not use the Secret %s/%s: it needs get, create and update on it", s.namespace, s.name)
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsRequestEntityTooLargeError(err):
		return fault.Wrap(err, fault.Internal, "the Kubernetes API refused the Secret %s/%s", s.namespace, s.name)
	default:
		return fault.Wrap(err, fault.Unavailable, "the Kubernetes API can't be asked for the Secret %s/%s", s.namespace, s.name)
	}
}
