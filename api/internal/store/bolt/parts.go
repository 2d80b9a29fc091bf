//go:build !wasip1

package bolt

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"

	bbolt "go.etcd.io/bbolt"

	"redoubt/api/internal/durable"
)

// ErrKeysApart reports a store file or backup whose keys are in a file of their own: see [Join].
var ErrKeysApart = errors.New("bolt: the keys of this backup are in a file of their own: give both")

// ErrNotKeys reports a file given to Join as keys, or as records, that is not that.
var ErrNotKeys = errors.New("bolt: not a backup of records and one of keys, in this order")

// formatKeys is the format of a file with keys alone.
const formatKeys = "redoubt keys 1"

// keyApart is there in the meta bucket of a file whose keys are apart.
var keyApart = []byte("keys apart")

// share is what a copy holds.
type share int

const (
	everything share = iota
	withoutKeys
	keysAlone
)

func (p share) buckets() [][]byte {
	switch p {
	case withoutKeys:
		return append(slices.Clone(buckets), bucketCheckpoints, bucketDomains)
	case keysAlone:
		return [][]byte{bucketKeys, bucketDomains}
	}
	return append(slices.Clone(buckets), bucketCheckpoints, bucketDomains, bucketKeys)
}

// mark writes into a copy what it is.
func (p share) mark(to, from *bbolt.Tx) error {
	switch {
	case p == keysAlone:
		return to.Bucket(bucketMeta).Put(keyFormat, []byte(formatKeys))
	case p == withoutKeys && from.Bucket(bucketKeys) != nil:
		return to.Bucket(bucketMeta).Put(keyApart, []byte{1})
	}
	return nil
}

// BackupRecords is [Store.Backup] without the keys of vaults under domains, so that backups of keys can be kept for a
// shorter time: what was erased is gone once the backups of keys from before are. Domains are in both. Take the backup
// of the keys after that of the records: then each record finds its key there. A store without domains has no keys
// apart, and its backup is whole.
func (s *Store) BackupRecords(w io.Writer) (int64, error) { return s.backup(w, withoutKeys) }

// Keyed reports whether the store has, or once had, a domain or a vault under one: then it has keys apart.
func (s *Store) Keyed() (keyed bool, err error) {
	err = s.view(func(tx *bbolt.Tx) error {
		keyed = tx.Bucket(bucketKeys) != nil
		return nil
	})
	return keyed, err
}

// BackupKeys is a backup of the keys of vaults under domains, and of domains, for [Join].
func (s *Store) BackupKeys(w io.Writer) (int64, error) { return s.backup(w, keysAlone) }

// Join writes to w the whole backup that records and keys, of BackupRecords and BackupKeys, make together. Restore and
// ReadBackup take it. The keys need not be of the same time: a key is kept for some time after a record has got
// another. A domain that both have is taken from the records. Both are unpacked in files without names in dir. A vault
// that was erased after the keys were taken is back: erase it again. ErrBackup, ErrNotKeys, ErrDamaged.
func Join(records, keys io.Reader, dir string, w io.Writer) (int64, error) {
	from, err := openPart(records, dir)
	if err != nil {
		return 0, err
	}
	defer from.Close()
	with, err := openPart(keys, dir)
	if err != nil {
		return 0, err
	}
	defer with.Close()
	out, err := durable.Unnamed(dir)
	if err != nil {
		return 0, wrap(err)
	}
	defer out.Close() // it has no name
	size, err := copyTo(out, func(to *bbolt.DB) error { return join(to, from.DB, with.DB) })
	if err != nil {
		return 0, err
	}
	return pack(w, out, size)
}

func join(to, records, keys *bbolt.DB) error {
	return records.View(func(from *bbolt.Tx) error {
		return keys.View(func(with *bbolt.Tx) error {
			if meta := from.Bucket(bucketMeta); meta == nil || meta.Get(keyApart) == nil {
				return ErrNotKeys
			}
			if meta := with.Bucket(bucketMeta); meta == nil || string(meta.Get(keyFormat)) != formatKeys ||
				with.Bucket(bucketKeys) == nil || with.Bucket(bucketDomains) == nil {
				return ErrNotKeys
			}
			// The part with the keys is copied first, so that domains are those of the records in the end.
			err := errors.Join(copyAll(to, with, keysAlone), copyAll(to, from, withoutKeys))
			if err != nil {
				return err
			}
			return wrap(to.Update(func(tx *bbolt.Tx) error { return tx.Bucket(bucketMeta).Delete(keyApart) }))
		})
	})
}

// openPart unpacks a backup and opens what is in it, after a check of all pages.
func openPart(r io.Reader, dir string) (*file, error) {
	f, err := durable.Unnamed(dir)
	if err != nil {
		return nil, wrap(err)
	}
	out := &file{f: f}
	err = unpack(r, f)
	if err == nil {
		out.info, err = f.Stat()
	}
	if err == nil {
		err = out.check(true)
	}
	if err == nil {
		err = guarded(func() (err error) {
			out.DB, err = bbolt.Open(f.Name(), 0, &bbolt.Options{
				ReadOnly: true, OpenFile: func(string, int, fs.FileMode) (*os.File, error) { return f, nil },
			})
			return err
		})
	}
	if err != nil {
		return nil, errors.Join(wrap(err), f.Close())
	}
	return out, nil
}
