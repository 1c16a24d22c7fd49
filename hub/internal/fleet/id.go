package fleet

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"strings"

	"github.com/kubilitics/kubilitics/shared/fault"
)

// TenantID is the key of a tenant in every table. Its text form is "t" and 13 characters.
type TenantID int64

// ClusterID is the key of a cluster, unique over all tenants. Its text form is "c" and 13 characters.
type ClusterID int64

// Letters and digits that aren't mistaken for one another, lower case, as they stand in URLs and host names.
var idText = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// NewTenantID draws a random key.
func NewTenantID() TenantID { return TenantID(randomID()) }

// NewClusterID draws a random key.
func NewClusterID() ClusterID { return ClusterID(randomID()) }

func randomID() int64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	return int64(binary.BigEndian.Uint64(b[:]) >> 1)
}

// String is the text form.
func (t TenantID) String() string { return formatID('t', int64(t)) }

// String is the text form.
func (c ClusterID) String() string { return formatID('c', int64(c)) }

// MarshalText writes the text form into JSON.
func (t TenantID) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// MarshalText writes the text form into JSON.
func (c ClusterID) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads the text form.
func (t *TenantID) UnmarshalText(b []byte) (err error) {
	*t, err = ParseTenantID(string(b))
	return err
}

// UnmarshalText reads the text form.
func (c *ClusterID) UnmarshalText(b []byte) (err error) {
	*c, err = ParseClusterID(string(b))
	return err
}

// ParseTenantID reads what String wrote; anything else is a BadRequest.
func ParseTenantID(s string) (TenantID, error) {
	n, err := parseID('t', "tenant", s)
	return TenantID(n), err
}

// ParseClusterID reads what String wrote; anything else is a BadRequest.
func ParseClusterID(s string) (ClusterID, error) {
	n, err := parseID('c', "cluster", s)
	return ClusterID(n), err
}

func formatID(prefix byte, n int64) string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(n))
	return string(prefix) + idText.EncodeToString(b[:])
}

func parseID(prefix byte, what, s string) (int64, error) {
	body, ok := strings.CutPrefix(s, string(prefix))
	raw, err := idText.DecodeString(body)
	if !ok || err != nil || len(raw) != 8 {
		return 0, fault.New(fault.BadRequest, "%q is no %s id: it is %q and 13 letters and digits", s, what, string(prefix))
	}
	n := int64(binary.BigEndian.Uint64(raw))
	if n < 0 || formatID(prefix, n) != s {
		return 0, fault.New(fault.BadRequest, "%q is no %s id", s, what)
	}
	return n, nil
}
