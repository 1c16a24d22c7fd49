package relational

import (
	"errors"

	"github.com/kubilitics/kubilitics/hub/internal/store"
	"github.com/kubilitics/kubilitics/shared/fault"
)

// RowError marks a failure that the database blames on the data: without some of the rows the rest would pass.
type RowError struct{ Cause error }

// Error is the database's reason.
func (e *RowError) Error() string { return e.Cause.Error() }

// Unwrap gives the cause.
func (e *RowError) Unwrap() error { return e.Cause }

// Refine finds the rows that the database refuses, by halves: try runs a delta in a transaction that it undoes. It gives what is left, and
// the rows refused with the database's reason. Only called after a batch failed, so it may be slow.
func Refine(k *Keyed, try func(*Keyed) error) (*Keyed, []store.Quarantined, error) {
	if k.Len() == 0 {
		return k, nil, nil
	}
	err := try(k)
	var row *RowError
	if err == nil || !errors.As(err, &row) {
		return k, nil, err
	}
	if k.Len() == 1 {
		table, key := k.describe()
		return &Keyed{}, []store.Quarantined{refused(table, key, row.Error())}, nil
	}
	first, second := k.split()
	good, bad, err := Refine(first, try)
	if err != nil {
		return nil, nil, err
	}
	moreGood, moreBad, err := Refine(second, try)
	if err != nil {
		return nil, nil, err
	}
	joined := &Keyed{}
	joined.join(good)
	joined.join(moreGood)
	return joined, append(bad, moreBad...), nil
}

// Blame makes a fault of a RowError where no row can be left out: the caller gave what the database refuses.
func Blame(err error) error {
	var row *RowError
	if errors.As(err, &row) {
		return fault.Wrap(err, fault.BadRequest, "the database refuses what was given")
	}
	return err
}
