package sealed

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

// export fills dst with Export(context, len(dst)) of RFC 9180, section 5.3.
func export(p *params, dst, exporterSecret, context []byte) bool {
	return p.expand(p.id[:], dst, exporterSecret, "sec", context)
}
