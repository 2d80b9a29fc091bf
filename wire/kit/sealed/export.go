package sealed

import (
	"crypto/hkdf"
	"encoding/binary"

	"redoubt/wire/kit/secret"
)

// fieldLabel begins the exporter context of a field's key and nonce in encoding 3.
const fieldLabel = "redoubt/v3/field\x00"

const maxExportContext = len(fieldLabel) + MaxName

// appendExportContext appends the exporter context of field name.
func appendExportContext(dst, name []byte) []byte {
	dst = append(dst, fieldLabel...)
	return append(dst, name...)
}

// appendRecordAAD appends the associated data of field name in encoding 3.
func appendRecordAAD(dst, name []byte) []byte {
	dst = append(dst, recordByte)
	return append(dst, name...)
}

// export fills dst with Export(context, len(dst)) of RFC 9180, section 5.3: LabeledExpand(exporter_secret, "sec",
// context, L). circl exports only from its own context objects, of which we keep none. The HKDF is the standard
// library's.
func export(p *params, dst, exporterSecret, context []byte) bool {
	const version, label = "HPKE-v1", "sec"
	var buf [2 + len(version) + SuiteIDSize + len(label) + maxExportContext]byte
	info := binary.BigEndian.AppendUint16(buf[:0], uint16(len(dst)))
	info = append(info, version...)
	info = append(info, p.id[:]...)
	info = append(info, label...)
	info = append(info, context...)
	out, err := hkdf.Expand(p.hash, exporterSecret, string(info), len(dst))
	if err != nil {
		return false
	}
	copy(dst, out)
	secret.Wipe(out)
	return true
}
