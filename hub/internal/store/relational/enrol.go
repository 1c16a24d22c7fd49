package relational

import (
	"bytes"
	"context"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
)

const selectJoinToken = `SELECT id, tenant_id, cluster_id, secret_hash, expires, key_hash, created, created_by FROM join_tokens WHERE id = $1`

func scanJoinToken(rows Rows, t *store.JoinToken) error {
	return rows.Scan(&t.ID, (*int64)(&t.Scope.Tenant), (*int64)(&t.Scope.Cluster), &t.SecretHash, &t.Expires, &t.KeyHash, &t.Created, &t.CreatedBy)
}

func joinToken(ctx context.Context, c Conn, id, lock string) (store.JoinToken, error) {
	found, err := queryAll(ctx, c, scanJoinToken, selectJoinToken+lock, id)
	if err != nil {
		return store.JoinToken{}, err
	}
	if len(found) == 0 {
		return store.JoinToken{}, fault.New(fault.NotFound, "there is no such join token")
	}
	return found[0], nil
}

// PutJoinToken implements store.Enrolment.
func (b *Base) PutJoinToken(ctx context.Context, t store.JoinToken) error {
	return b.db.Write(ctx, func(ctx context.Context, c Conn) error {
		if _, err := cluster(ctx, c, t.Scope, ""); err != nil {
			return err
		}
		made, err := c.Exec(ctx, `INSERT INTO join_tokens (id, tenant_id, cluster_id, secret_hash, expires, key_hash, created, created_by)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (id) DO NOTHING`,
			t.ID, int64(t.Scope.Tenant), int64(t.Scope.Cluster), t.SecretHash, t.Expires, t.KeyHash, t.Created, t.CreatedBy)
		if err == nil && made == 0 {
			err = fault.New(fault.Conflict, "the join token exists")
		}
		if err != nil {
			return err
		}
		_, err = c.Exec(ctx, `DELETE FROM join_tokens WHERE tenant_id = $1 AND cluster_id = $2 AND id <> $3 AND key_hash IS NULL`,
			int64(t.Scope.Tenant), int64(t.Scope.Cluster), t.ID)
		return err
	})
}

// JoinToken implements store.Enrolment.
func (b *Base) JoinToken(ctx context.Context, id string) (t store.JoinToken, err error) {
	err = b.db.Snapshot(ctx, func(ctx context.Context, c Conn) error {
		t, err = joinToken(ctx, c, id, "")
		return err
	})
	return t, err
}

// Enrol implements store.Enrolment.
func (b *Base) Enrol(ctx context.Context, tokenID string, keyHash []byte, id store.Identity, cert store.Certificate) error {
	return b.db.Write(ctx, func(ctx context.Context, c Conn) error {
		token, err := joinToken(ctx, c, tokenID, b.sql.Lock)
		if err != nil {
			return err
		}
		switch {
		case !token.Expires.After(now()):
			return fault.New(fault.Unauthorized, "the join token expired at %s", token.Expires)
		case token.KeyHash != nil && !bytes.Equal(token.KeyHash, keyHash):
			return fault.New(fault.Conflict, "the join token was used by another agent")
		case cert.Scope != token.Scope:
			return fault.New(fault.BadRequest, "the certificate is not for the cluster of the join token")
		}
		if err := b.bind(ctx, c, token.Scope, id); err != nil {
			return err
		}
		if _, err := c.Exec(ctx, `UPDATE join_tokens SET key_hash = $2 WHERE id = $1`, tokenID, keyHash); err != nil {
			return err
		}
		if _, err := c.Exec(ctx, `UPDATE clusters SET generation = $3 WHERE tenant_id = $1 AND cluster_id = $2`,
			int64(token.Scope.Tenant), int64(token.Scope.Cluster), cert.Generation); err != nil {
			return err
		}
		return putCertificate(ctx, c, cert)
	})
}

// bind ties a cluster to its identity. The lock on the tenant's feed row makes two enrolments of one Kubernetes cluster see each other.
func (b *Base) bind(ctx context.Context, c Conn, at store.Scope, id store.Identity) error {
	cl, err := cluster(ctx, c, at, b.sql.Lock)
	if err != nil {
		return err
	}
	if cl.KubeUID != "" && cl.KubeUID != id.KubeUID {
		return fault.New(fault.Conflict, "the cluster %s is bound to another Kubernetes cluster", at.Cluster)
	}
	var pos, other int64
	if _, err := queryOne(ctx, c, `SELECT pos FROM tenant_feed WHERE tenant_id = $1`+b.sql.Lock, []any{int64(at.Tenant)}, &pos); err != nil {
		return err
	}
	taken, err := queryOne(ctx, c, `SELECT cluster_id FROM clusters WHERE tenant_id = $1 AND kube_uid = $2 AND cluster_id <> $3 AND deleted IS NULL`,
		[]any{int64(at.Tenant), id.KubeUID, int64(at.Cluster)}, &other)
	if err != nil {
		return err
	}
	if taken && id.KubeUID != "" {
		return fault.New(fault.Conflict, "the Kubernetes cluster is enrolled already under another id")
	}
	_, err = c.Exec(ctx, `UPDATE clusters SET kube_uid = $3, identity_key = $4 WHERE tenant_id = $1 AND cluster_id = $2`,
		int64(at.Tenant), int64(at.Cluster), id.KubeUID, id.IdentityKey)
	return err
}

func putCertificate(ctx context.Context, c Conn, cert store.Certificate) error {
	_, err := c.Exec(ctx, `INSERT INTO certificates (tenant_id, cluster_id, serial, generation, not_after, created) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (tenant_id, cluster_id, serial) DO NOTHING`,
		int64(cert.Scope.Tenant), int64(cert.Scope.Cluster), cert.Serial, cert.Generation, cert.NotAfter, cert.Created)
	return err
}

// Renew implements store.Enrolment.
func (b *Base) Renew(ctx context.Context, at store.Scope, fromGeneration int64, cert store.Certificate) error {
	return b.db.Write(ctx, func(ctx context.Context, c Conn) error {
		cl, err := cluster(ctx, c, at, b.sql.Lock)
		if err != nil {
			return err
		}
		var generation int64
		repeated, err := queryOne(ctx, c, `SELECT generation FROM certificates WHERE tenant_id = $1 AND cluster_id = $2 AND serial = $3`,
			[]any{int64(at.Tenant), int64(at.Cluster), cert.Serial}, &generation)
		if err != nil || repeated {
			return err
		}
		if cl.Generation != fromGeneration {
			return fault.New(fault.Conflict, "generation %d was renewed already: the identity of cluster %s is in use twice", fromGeneration, at.Cluster)
		}
		if cert.Scope != at || cert.Generation <= fromGeneration {
			return fault.New(fault.BadRequest, "the new certificate doesn't follow the one it renews")
		}
		if _, err := c.Exec(ctx, `UPDATE clusters SET generation = $3 WHERE tenant_id = $1 AND cluster_id = $2`,
			int64(at.Tenant), int64(at.Cluster), cert.Generation); err != nil {
			return err
		}
		return putCertificate(ctx, c, cert)
	})
}

// Identity implements store.Enrolment.
func (b *Base) Identity(ctx context.Context, at store.Scope) (id store.Identity, err error) {
	err = b.db.Snapshot(ctx, func(ctx context.Context, c Conn) error {
		found, err := queryOne(ctx, c, `SELECT kube_uid, identity_key FROM clusters WHERE tenant_id = $1 AND cluster_id = $2 AND deleted IS NULL`,
			[]any{int64(at.Tenant), int64(at.Cluster)}, &id.KubeUID, &id.IdentityKey)
		if err == nil && (!found || id.IdentityKey == nil) {
			err = fault.New(fault.NotFound, "no agent has enrolled as cluster %s", at.Cluster)
		}
		return err
	})
	return id, err
}
