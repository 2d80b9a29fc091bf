package fakeenclave

import "redoubt/wire"

// Echo answers each wanted field with its blob as a string, and each expression with its source as JSON.
func Echo(req *wire.DecryptRequest, resp *wire.DecryptResponse) {
	for i := range req.Fields {
		wanted := req.Compat || req.IncludeMode == wire.IncludeListed && req.Fields[i].Include ||
			req.IncludeMode == wire.IncludeDefault && len(req.Expressions) == 0
		if !wanted {
			continue
		}
		kind := wire.ValueString
		if len(req.ReplyKey) > 0 {
			kind = wire.ValueSealed
		}
		resp.Add(wire.Result{
			Kind: wire.ResultField, Index: uint16(i), ValueKind: kind, Value: req.Fields[i].Blob,
		})
	}
	for i := range req.Expressions {
		kind := wire.ValueJSON
		if len(req.ReplyKey) > 0 {
			kind = wire.ValueSealed
		}
		resp.Add(wire.Result{
			Kind: wire.ResultExpression, Index: uint16(i), ValueKind: kind, Value: req.Expressions[i].Source,
		})
	}
}

// Refuse answers everything with a code.
func Refuse(c wire.Code) Answer {
	return func(_ *wire.DecryptRequest, resp *wire.DecryptResponse) { resp.Code = c }
}
