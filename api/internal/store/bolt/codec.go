//go:build !wasip1

package bolt

import (
	"bytes"
	"encoding/binary"

	"github.com/fxamacker/cbor/v2"

	"redoubt/api/internal/store"
)

// These are the stored forms: CBOR maps with small integer keys, so that a later version can add one.
type (
	recordForm struct {
		Encoding   int                  `cbor:"1,keyasint"`
		Suite      []byte               `cbor:"2,keyasint"`
		WrappedKey []byte               `cbor:"3,keyasint"`
		PublicKey  []byte               `cbor:"4,keyasint"`
		KeyContext bool                 `cbor:"5,keyasint,omitempty"`
		KeyMAC     []byte               `cbor:"6,keyasint,omitempty"`
		Created    int64                `cbor:"7,keyasint"`
		Modified   int64                `cbor:"8,keyasint"`
		ExpireAt   int64                `cbor:"9,keyasint,omitempty"`
		Fields     map[string]valueForm `cbor:"10,keyasint"`
		Own        []string             `cbor:"11,keyasint,omitempty"`
		Domain     []byte               `cbor:"12,keyasint,omitempty"`
		Epoch      uint16               `cbor:"13,keyasint,omitempty"`
		Encs       map[string][]byte    `cbor:"14,keyasint,omitempty"`
	}
	valueForm struct {
		Blob []byte `cbor:"1,keyasint"`
		Text bool   `cbor:"2,keyasint,omitempty"`
	}
	entryForm struct {
		Event  string   `cbor:"1,keyasint"`
		Reason string   `cbor:"2,keyasint,omitempty"`
		Fields []string `cbor:"3,keyasint,omitempty"`
		Prev   []byte   `cbor:"4,keyasint,omitempty"`
		Link   []byte   `cbor:"5,keyasint,omitempty"`
		Hash   []byte   `cbor:"6,keyasint,omitempty"`
		Body   []byte   `cbor:"7,keyasint,omitempty"`
		Time   int64    `cbor:"8,keyasint"`
		Chain  string   `cbor:"9,keyasint,omitempty"`
		Seq    uint64   `cbor:"10,keyasint,omitempty"`
	}
	idemForm struct {
		MAC      []byte `cbor:"1,keyasint"`
		VaultID  string `cbor:"2,keyasint"`
		ExpireAt int64  `cbor:"3,keyasint"`
	}
)

func encodeRecord(r *store.Record) ([]byte, error) {
	f := recordForm{
		Encoding: r.Encoding, Suite: r.Suite, WrappedKey: r.WrappedKey, PublicKey: r.PublicKey,
		KeyContext: r.KeyContext, KeyMAC: r.KeyMAC, Created: r.Created, Modified: r.Modified, ExpireAt: r.ExpireAt,
		Fields: make(map[string]valueForm, len(r.Fields)), Own: r.Own,
		Domain: r.Domain, Epoch: r.Epoch, Encs: r.Encs,
	}
	for n, v := range r.Fields {
		f.Fields[n] = valueForm(v)
	}
	data, err := cbor.Marshal(f)
	return data, wrap(err)
}

func decodeRecord(id string, data []byte) (*store.Record, error) {
	var f recordForm
	if err := cbor.Unmarshal(data, &f); err != nil {
		return nil, damaged("record %s cannot be read", id)
	}
	r := &store.Record{
		ID: id, Encoding: f.Encoding, Suite: f.Suite, WrappedKey: f.WrappedKey, PublicKey: f.PublicKey,
		KeyContext: f.KeyContext, KeyMAC: f.KeyMAC, Created: f.Created, Modified: f.Modified, ExpireAt: f.ExpireAt,
		Fields: make(map[string]store.Value, len(f.Fields)), Own: f.Own,
		Domain: f.Domain, Epoch: f.Epoch, Encs: f.Encs,
	}
	for n, v := range f.Fields {
		r.Fields[n] = store.Value(v)
	}
	return r, nil
}

func encodeEntry(e *store.Entry) ([]byte, error) {
	data, err := cbor.Marshal(entryForm{
		Event: e.Event, Reason: e.Reason, Fields: e.Fields, Prev: e.Prev, Link: e.Link, Hash: e.Hash, Body: e.Body,
		Time: e.Time, Chain: e.Chain, Seq: e.Seq,
	})
	return data, wrap(err)
}

func decodeEntry(vaultID string, key, data []byte) (store.Entry, error) {
	var f entryForm
	if err := cbor.Unmarshal(data, &f); err != nil {
		return unreadable(vaultID, key), damaged("an audit entry of %s cannot be read", vaultID)
	}
	e := store.Entry{
		VaultID: vaultID, Time: f.Time, Event: f.Event, Reason: f.Reason, Fields: f.Fields,
		Chain: f.Chain, Seq: f.Seq, Prev: f.Prev, Link: f.Link, Hash: f.Hash, Body: f.Body,
	}
	if !bytes.Equal(key, auditKey(&e)) {
		e.Time = store.TimeAltered
	}
	return e, nil
}

// auditPrefix is the key prefix of a vault's entries. It begins with a length, which keeps one id from being the
// prefix of another.
func auditPrefix(vaultID string) []byte {
	key := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(vaultID)+48),
		uint16(len(vaultID)))
	return append(key, vaultID...)
}

// auditKey orders entries by time, then chain and sequence number.
func auditKey(e *store.Entry) []byte {
	key := binary.BigEndian.AppendUint64(auditPrefix(e.VaultID), uint64(e.Time))
	key = append(key, e.Chain...)
	key = append(key, 0)
	return binary.BigEndian.AppendUint64(key, e.Seq)
}

// unreadable is an entry of which only the key is known.
func unreadable(vaultID string, key []byte) store.Entry {
	e := store.Entry{VaultID: vaultID, Time: store.TimeAltered, Event: store.EventUnreadable}
	rest := key[min(len(key), len(auditPrefix(vaultID))):]
	if end := len(rest) - 8; end > 8 && rest[end-1] == 0 {
		e.Time = int64(binary.BigEndian.Uint64(rest))
		e.Chain, e.Seq = string(rest[8:end-1]), binary.BigEndian.Uint64(rest[end:])
	}
	return e
}

// auditVault reads the vault id from an entry's key.
func auditVault(key []byte) (string, bool) {
	if len(key) < 2 {
		return "", false
	}
	n := int(binary.BigEndian.Uint16(key))
	if len(key) < 2+n {
		return "", false
	}
	return string(key[2 : 2+n]), true
}

// These are the kinds of item to which an expiry key points.
const (
	expireRecord = 'r'
	expireIdem   = 'i'
)

func expiryKey(at int64, kind byte, id string) []byte {
	key := binary.BigEndian.AppendUint64(make([]byte, 0, 9+len(id)), uint64(at))
	return append(append(key, kind), id...)
}
