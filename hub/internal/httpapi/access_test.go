package httpapi

import (
	"strings"
	"testing"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/query/querytest"
)

func TestTokens(t *testing.T) {
	r := newRig(t, options{})
	a := r.do(r.admin, "POST", "/api/v1/tokens", `{"name":"ci","groups":["robots"],"bindings":[{"verbs":["get","list"],"clusters":["*"],"namespaces":["shop"]}],"expires":"2099-01-01T00:00:00Z"}`)
	a.expect(t, 201, `"secret":"`, `"createdBy":"bootstrap-admin"`)
	secret, id := a.json["secret"].(string), a.json["id"].(string)
	r.get(secret, "/api/v1/clusters/{shop}").expect(t, 200)
	if one := r.get(r.admin, "/api/v1/tokens/"+id); one.status != 200 || strings.Contains(one.text, "secret") {
		t.Errorf("a token is shown as %s", one.text)
	}
	for _, call := range [][2]string{{"GET", "/api/v1/tokens"}, {"GET", "/api/v1/tokens/" + id}, {"DELETE", "/api/v1/tokens/" + id}, {"GET", "/metrics"}, {"GET", "/api/v1/clusters/{shop}/quarantine"}} {
		r.do(secret, call[0], call[1], "").expect(t, 403, "FORBIDDEN")
	}
	r.do(r.admin, "DELETE", "/api/v1/tokens/"+id, "").expect(t, 204)
	r.get(secret, "/api/v1/clusters/{shop}").expect(t, 401, "UNAUTHORIZED")
}

func TestAccess(t *testing.T) {
	r := newRig(t, options{})
	other := querytest.New(t, r.store, r.tenant, "other").Load(querytest.Shop())
	foreign, err := r.store.EnsureTenant(t.Context(), "foreign")
	if err != nil {
		t.Fatal(err)
	}
	theirs := querytest.New(t, r.store, foreign.ID, "theirs").Load(querytest.Shop())
	theirAdmin, err := r.tokens.Bootstrap(t.Context(), foreign.ID)
	if err != nil {
		t.Fatal(err)
	}
	shopper := r.token("shopper", "get,list,watch "+r.shop.ID.String()+" shop")
	nobody := r.token("nobody", "create * *")
	prometheus := r.token("prometheus", "metrics * *")
	r.get(prometheus, "/metrics").expect(t, 200)
	r.get(prometheus, "/api/v1/tokens").expect(t, 403)
	r.get(prometheus, "/api/v1/clusters/{shop}").expect(t, 404)
	r.get(theirAdmin, "/metrics").expect(t, 403, "the tenant that this hub was started for") // clusters of all tenants have their names there

	t.Run("strangers", func(t *testing.T) {
		for _, token := range []string{"", "nonsense", r.admin + "x"} {
			for _, path := range []string{"/api/v1/clusters", "/api/v1/openapi.json", "/metrics", "/api/v1/stream", "/ws/v1/stream", "/api/v1/nothing"} {
				a := r.get(token, path)
				if path == "/api/v1/nothing" {
					a.expect(t, 404)
					continue
				}
				a.expect(t, 401, "UNAUTHORIZED")
			}
		}
		r.get("", "/api/v1/clusters?access_token="+r.admin).expect(t, 401)
	})
	t.Run("what may not be seen isn't there", func(t *testing.T) {
		for _, c := range []struct{ token, cluster string }{
			{shopper, other.ID.String()}, {shopper, theirs.ID.String()}, {nobody, r.shop.ID.String()}, {r.admin, theirs.ID.String()}, {theirAdmin, r.shop.ID.String()},
		} {
			missing := r.get(c.token, "/api/v1/clusters/"+fleet.NewClusterID().String())
			for _, path := range []string{"", "/info", "/topology", "/ping", "/events", "/api-resources", "/quarantine", "/resources/-/-/pods", "/resources/-/-/pods/shop/web-a", "/topology?focus=Pod/shop/web-a"} {
				a := r.get(c.token, "/api/v1/clusters/"+c.cluster+path)
				if a.expect(t, 404); a.json["message"] != strings.Replace(missing.json["message"].(string), lastWord(missing), c.cluster, 1) {
					t.Errorf("%s tells more than that it isn't there: %s", path, a.text)
				}
			}
			for _, path := range []string{"/api/v1/resources", "/api/v1/topology", "/api/v1/events", "/api/v1/stream"} {
				r.get(c.token, path+"?cluster="+c.cluster).expect(t, 404)
			}
			r.do(c.token, "PATCH", "/api/v1/clusters/"+c.cluster, `{"name":"mine"}`).expect(t, 404)
			r.do(c.token, "DELETE", "/api/v1/clusters/"+c.cluster, "").expect(t, 404)
		}
	})
	t.Run("a namespace", func(t *testing.T) {
		everything := r.get(shopper, "/api/v1/clusters").text + r.get(shopper, "/api/v1/clusters/summary").text + r.get(shopper, "/api/v1/resources").text +
			r.get(shopper, "/api/v1/topology").text + r.get(shopper, "/api/v1/clusters/{shop}/topology?namespace=shop,bank").text + r.get(shopper, "/api/v1/events").text +
			r.get(shopper, "/api/v1/clusters/{shop}/topology?focus=Pod/shop/web-a&depth=9").text + r.get(shopper, "/api/v1/clusters/{shop}/info").text +
			r.get(shopper, "/api/v1/clusters/{shop}/resources/-/-/pods/shop/web-a").text
		for _, secret := range []string{"vault", "robot\"", `"n1"`, `"other"`, other.ID.String(), "theirs"} {
			if strings.Contains(everything, secret) {
				t.Errorf("%s leaked", secret)
			}
		}
		r.get(shopper, "/api/v1/clusters/{shop}/info").expect(t, 200, `"resources":7`)
		for _, path := range []string{"/resources/-/-/pods/bank/vault", "/resources/-/-/nodes/-/n1", "/topology?focus=Node/n1", "/topology?focus=" + querytest.Ref("Pod bank/vault").ID().String()} {
			r.get(shopper, "/api/v1/clusters/{shop}"+path).expect(t, 404)
		}
		r.do(shopper, "PATCH", "/api/v1/clusters/{shop}", `{"name":"mine"}`).expect(t, 403)
		r.do(shopper, "DELETE", "/api/v1/clusters/{shop}", "").expect(t, 403)
		r.do(shopper, "POST", "/api/v1/clusters", `{"name":"mine"}`).expect(t, 403)
		if len(r.agents.cut) > 0 {
			t.Error("cut")
		}
	})
	t.Run("a continue token gives no rights", func(t *testing.T) {
		page := r.get(r.admin, "/api/v1/resources?limit=1").json["continue"].(string)
		if a := r.get(shopper, "/api/v1/resources?limit=500&continue="+page); strings.Contains(a.text, "vault") {
			t.Errorf("leaked: %s", a.text)
		}
		r.get(theirAdmin, "/api/v1/resources?continue="+page).expect(t, 400)
	})
}

func lastWord(a reply) string {
	f := strings.Fields(a.json["message"].(string))
	return f[len(f)-1]
}
