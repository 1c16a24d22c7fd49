package command

import (
	"context"
	"encoding/json"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientauthentication "k8s.io/client-go/pkg/apis/clientauthentication/v1"

	"github.com/kubilitics/kubilitics/hub/internal/login"
	"github.com/kubilitics/kubilitics/shared/fault"
)

// programAsking is how long kubectl is let wait for a ticket.
const programAsking = 15 * time.Second

func (a *app) credentialCommand() *cobra.Command {
	var cluster string
	c := &cobra.Command{
		Use: "credential", Short: "Print a ticket for kubectl and its like, which call this themselves", Args: between(0, 0),
		Long: `Prints a ticket, which is a token for some minutes, as clients of Kubernetes want it of an exec credential plugin. Kubeconfigs made by
"kubilitics kubeconfig --auth exec" have it called where it is needed. A ticket is kept, and used until it is about to end.`,
	}
	c.Flags().StringVar(&cluster, "cluster", "", "id of the one cluster that the ticket is for; all of them where it isn't given")
	c.RunE = func(c *cobra.Command, _ []string) error {
		s, err := a.session(programAsking)
		if err != nil {
			return err
		}
		defer s.client.Close()
		t, err := a.ticket(c.Context(), s, cluster)
		if err != nil {
			return a.again(s, err)
		}
		return json.NewEncoder(a.Out).Encode(clientauthentication.ExecCredential{
			TypeMeta: metav1.TypeMeta{APIVersion: clientauthentication.SchemeGroupVersion.String(), Kind: "ExecCredential"},
			Status:   &clientauthentication.ExecCredentialStatus{Token: t.Token, ExpirationTimestamp: &metav1.Time{Time: t.Expires}},
		})
	}
	return c
}

// ticket gives the one that is kept while it is fresh, else a new one, else what is kept as long as it is good at all.
func (a *app) ticket(ctx context.Context, s *session, cluster string) (login.Ticket, error) {
	key := login.Key{Hub: s.Address, Token: tokenID(s.Token), Cluster: cluster}
	kept, have := a.files.Ticket(key)
	if have && kept.Fresh(time.Now()) {
		return kept, nil
	}
	asked := time.Now()
	got, err := s.client.Ticket(ctx, cluster, 0)
	if err != nil {
		if have && fault.Retryable(err) && kept.Valid(time.Now()) {
			return kept, nil
		}
		return login.Ticket{}, err
	}
	made := login.Ticket{Key: key, Token: got.Token, Issued: asked, Expires: got.Expires}
	if err := a.files.Keep(made); err != nil {
		a.say("warning: %v", err) // it is good all the same; the next one asks again
	}
	return made, nil
}
