package kms

type describeKeyRequest struct {
	KeyID string `json:"KeyId"`
}

type describeKeyResponse struct{ KeyMetadata keyMetadata }

type keyMetadata struct {
	AWSAccountID         string `json:"AWSAccountId"`
	KeyID                string `json:"KeyId"`
	Arn                  string
	Description          string
	CreationDate         float64 // seconds since the Unix epoch
	Enabled              bool
	KeyUsage             string
	KeyState             string
	Origin               string
	KeyManager           string
	KeySpec              string
	MultiRegion          bool
	EncryptionAlgorithms []string `json:",omitempty"`
	MacAlgorithms        []string `json:",omitempty"`
}

func describeKey(c *call, in *describeKeyRequest) (*describeKeyResponse, error) {
	if in.KeyID == "" {
		return nil, validationError("KeyId must not be null.")
	}
	key, err := c.store.Find(in.KeyID)
	if err != nil {
		return nil, err
	}
	// A disabled key can be described: only the policy's part of the answer counts here.
	state := key.State
	key.State = StateEnabled
	if err := c.authorize(key, nil, nil); err != nil {
		return nil, err
	}
	m := keyMetadata{
		AWSAccountID: c.store.account, KeyID: key.ID, Arn: key.arn, Description: "Redoubt local stack",
		CreationDate: float64(key.Created.UnixMilli()) / 1000,
		Enabled:      state == StateEnabled, KeyUsage: key.Usage, KeyState: state, Origin: "AWS_KMS",
		KeyManager: "CUSTOMER", KeySpec: key.Spec,
	}
	if key.Usage == UsageMAC {
		m.MacAlgorithms = []string{algMAC}
	} else {
		m.EncryptionAlgorithms = []string{algSymmetric}
	}
	return &describeKeyResponse{KeyMetadata: m}, nil
}
