package enroll

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// apiServer answers for one Secret as a Kubernetes API does, resourceVersion included.
type apiServer struct {
	have    *secretObject
	version int
	fail    *apierrors.StatusError
}

var secrets = schema.GroupResource{Resource: "secrets"}

func (a *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	const list, one = "/api/v1/namespaces/ns/secrets", "/api/v1/namespaces/ns/secrets/agent"
	var sent secretObject
	if r.Method != http.MethodGet {
		if err := json.NewDecoder(r.Body).Decode(&sent); err != nil || sent.Kind != "Secret" || sent.Metadata.Name != "agent" {
			a.refuse(w, apierrors.NewBadRequest("no Secret"))
			return
		}
	}
	switch {
	case a.fail != nil:
		a.refuse(w, a.fail)
	case r.Method == http.MethodPost && r.URL.Path == list && a.have != nil:
		a.refuse(w, apierrors.NewAlreadyExists(secrets, "agent"))
	case r.Method == http.MethodPost && r.URL.Path == list:
		a.store(w, sent)
	case r.URL.Path != one || a.have == nil:
		a.refuse(w, apierrors.NewNotFound(secrets, "agent"))
	case r.Method == http.MethodGet:
		a.answer(w, http.StatusOK, a.have)
	case r.Method == http.MethodPut && sent.Metadata.ResourceVersion != a.have.Metadata.ResourceVersion:
		a.refuse(w, apierrors.NewConflict(secrets, "agent", nil))
	case r.Method == http.MethodPut:
		a.store(w, sent)
	}
}

func (a *apiServer) store(w http.ResponseWriter, s secretObject) {
	a.version++
	s.Metadata.ResourceVersion = strconv.Itoa(a.version)
	a.have = &s
	a.answer(w, http.StatusOK, s)
}

func (a *apiServer) refuse(w http.ResponseWriter, err *apierrors.StatusError) {
	err.ErrStatus.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
	a.answer(w, int(err.ErrStatus.Code), err.ErrStatus)
}

func (a *apiServer) answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body)
}

func secretFixture(t *testing.T) (*apiServer, func() Keep) {
	t.Helper()
	api := &apiServer{}
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	return api, func() Keep {
		k, err := Secret(&rest.Config{Host: server.URL}, "ns", "agent")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(k.(*secret).client.Client.CloseIdleConnections)
		return k
	}
}

func TestSecret(t *testing.T) {
	api, keep := secretFixture(t)
	k := keep()
	if _, err := k.Load(t.Context()); !fault.Is(err, fault.NotFound) {
		t.Fatalf("before anything was saved: %v", err)
	}
	for _, text := range []string{"one", "two", "three"} {
		if err := k.Save(t.Context(), []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := keep().Load(t.Context())
	if err != nil || string(got) != "three" || api.have.Type != "Opaque" {
		t.Errorf("%q, %v", got, err)
	}
}

// Of two processes, the second to save learns that it must look first; what others put into the Secret stays.
func TestSecretIsGuarded(t *testing.T) {
	api, keep := secretFixture(t)
	a, b := keep(), keep()
	if _, err := b.Load(t.Context()); !fault.Is(err, fault.NotFound) {
		t.Fatal(err)
	}
	if err := a.Save(t.Context(), []byte("a")); err != nil {
		t.Fatal(err)
	}
	if err := b.Save(t.Context(), []byte("b")); !fault.Is(err, fault.Conflict) {
		t.Errorf("a second create: %v", err)
	}
	api.have.Data["token"] = []byte("theirs")
	api.have.Metadata.Labels = map[string]string{"app": "x"}
	if _, err := b.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.Save(t.Context(), []byte("b")); err != nil {
		t.Fatal(err)
	}
	if string(api.have.Data["token"]) != "theirs" || api.have.Metadata.Labels["app"] != "x" {
		t.Error("what others put there is gone")
	}
	if err := a.Save(t.Context(), []byte("a")); !fault.Is(err, fault.Conflict) || string(api.have.Data[secretKey]) != "b" {
		t.Errorf("a stale save: %v", err)
	}
}

func TestSecretFaults(t *testing.T) {
	api, keep := secretFixture(t)
	k := keep()
	for _, c := range []struct {
		fail *apierrors.StatusError
		code fault.Code
	}{
		{apierrors.NewForbidden(secrets, "agent", nil), fault.Forbidden},
		{apierrors.NewUnauthorized("who?"), fault.Forbidden},
		{apierrors.NewInternalError(http.ErrAbortHandler), fault.Unavailable},
		{apierrors.NewInvalid(schema.GroupKind{Kind: "Secret"}, "agent", nil), fault.Internal},
	} {
		api.fail = c.fail
		if _, err := k.Load(t.Context()); !fault.Is(err, c.code) {
			t.Errorf("load: %v became %v", c.fail, err)
		}
		if err := k.Save(t.Context(), []byte("x")); !fault.Is(err, c.code) {
			t.Errorf("save: %v became %v", c.fail, err)
		}
	}
	api.fail, api.have = nil, &secretObject{Metadata: metav1.ObjectMeta{Name: "agent"}}
	if _, err := k.Load(t.Context()); !fault.Is(err, fault.NotFound) {
		t.Errorf("a Secret without an identity: %v", err)
	}
}
