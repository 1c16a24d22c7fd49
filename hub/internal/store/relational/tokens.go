package relational

import (
	"context"
	"encoding/json"
	"time"

	"github.com/kubilitics/kubilitics/hub/internal/fleet"
	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
)

const selectToken = `SELECT id, tenant_id, name, groups, bindings, secret_hash, created, expires, last_used, created_by FROM api_tokens`

func scanToken(rows Rows, t *store.Token) error {
	var groups, bindings string
	err := rows.Scan(&t.ID, (*int64)(&t.Tenant), &t.Name, &groups, &bindings, &t.SecretHash, &t.Created, &t.Expires, &t.LastUsed, &t.CreatedBy)
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(groups), &t.Groups); err != nil {
		return err
	}
	return json.Unmarshal([]byte(bindings), &t.Bindings)
}

// PutToken implements store.Tokens.
func (b *Base) PutToken(ctx context.Context, t store.Token) error {
	groups, err := json.Marshal(t.Groups)
	if err != nil {
		return fault.Wrap(err, fault.BadRequest, "the groups have no JSON form")
	}
	bindings, err := json.Marshal(t.Bindings)
	if err != nil {
		return fault.Wrap(err, fault.BadRequest, "the bindings have no JSON form")
	}
	return b.db.Write(ctx, func(ctx context.Context, c Conn) error {
		made, err := c.Exec(ctx, `INSERT INTO api_tokens (id, tenant_id, name, groups, bindings, secret_hash, created, expires, last_used, created_by)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (id) DO NOTHING`,
			t.ID, int64(t.Tenant), t.Name, string(groups), string(bindings), t.SecretHash, t.Created, t.Expires, t.LastUsed, t.CreatedBy)
		if err == nil && made == 0 {
			err = fault.New(fault.Conflict, "the token %q exists", t.ID)
		}
		return err
	})
}

func noToken(id string) error { return fault.New(fault.NotFound, "there is no token %q", id) }

// Token implements store.Tokens.
func (b *Base) Token(ctx context.Context, id string) (t store.Token, err error) {
	err = b.db.Snapshot(ctx, func(ctx context.Context, c Conn) error {
		found, err := queryAll(ctx, c, scanToken, selectToken+` WHERE id = $1`, id)
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return noToken(id)
		}
		t = found[0]
		return nil
	})
	return t, err
}

// Tokens implements store.Tokens.
func (b *Base) Tokens(ctx context.Context, tenant fleet.TenantID) (list []store.Token, err error) {
	err = b.db.Snapshot(ctx, func(ctx context.Context, c Conn) error {
		list, err = queryAll(ctx, c, scanToken, selectToken+` WHERE tenant_id = $1 ORDER BY name, id`, int64(tenant))
		return err
	})
	return list, err
}

// DeleteToken implements store.Tokens.
func (b *Base) DeleteToken(ctx context.Context, tenant fleet.TenantID, id string) error {
	return b.db.Write(ctx, func(ctx context.Context, c Conn) error {
		gone, err := c.Exec(ctx, `DELETE FROM api_tokens WHERE tenant_id = $1 AND id = $2`, int64(tenant), id)
		if err == nil && gone == 0 {
			err = noToken(id)
		}
		return err
	})
}

// TouchToken implements store.Tokens.
func (b *Base) TouchToken(ctx context.Context, id string, at time.Time) error {
	return b.db.Write(ctx, func(ctx context.Context, c Conn) error {
		_, err := c.Exec(ctx, `UPDATE api_tokens SET last_used = $2 WHERE id = $1`, id, at)
		return err
	})
}
