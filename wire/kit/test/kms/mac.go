package kms

import "crypto/hmac"

const (
	maxMACMessage = 4096
	algMAC        = "HMAC_SHA_256"
)

type macRequest struct {
	KeyID        string `json:"KeyId"`
	MacAlgorithm string
	Message      []byte
	Mac          []byte // VerifyMac alone
	DryRun       bool
}

type generateMacResponse struct {
	KeyID        string `json:"KeyId"`
	Mac          []byte
	MacAlgorithm string
}

type verifyMacResponse struct {
	KeyID        string `json:"KeyId"`
	MacAlgorithm string
	MacValid     bool
}

// mac checks a request for either operation, and computes HMAC-SHA-256 (RFC 2104) of its message.
func (c *call) mac(in *macRequest) (*Key, []byte, error) {
	if n := len(in.Message); n < 1 || n > maxMACMessage {
		return nil, nil, validationError("Message must have 1 to 4096 bytes.")
	}
	key, err := c.keyFor(in.KeyID, UsageMAC)
	if err != nil {
		return nil, nil, err
	}
	if in.MacAlgorithm != algMAC {
		return nil, nil, clientError("InvalidKeyUsageException", "The key works with HMAC_SHA_256 only.")
	}
	if err := c.authorize(key, map[string]string{"kms:macalgorithm": algMAC}, nil); err != nil {
		return nil, nil, err
	}
	return key, hmacSHA256(key.Material, string(in.Message)), nil
}

func generateMac(c *call, in *macRequest) (*generateMacResponse, error) {
	key, mac, err := c.mac(in)
	if err != nil {
		return nil, err
	}
	if in.DryRun {
		return nil, errDryRun
	}
	return &generateMacResponse{KeyID: key.arn, Mac: mac, MacAlgorithm: algMAC}, nil
}

func verifyMac(c *call, in *macRequest) (*verifyMacResponse, error) {
	key, mac, err := c.mac(in)
	if err != nil {
		return nil, err
	}
	if !hmac.Equal(mac, in.Mac) {
		return nil, errInvalidMac
	}
	if in.DryRun {
		return nil, errDryRun
	}
	return &verifyMacResponse{KeyID: key.arn, MacAlgorithm: algMAC, MacValid: true}, nil
}
