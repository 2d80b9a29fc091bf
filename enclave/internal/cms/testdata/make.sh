#!/bin/sh
# Makes the stored envelopes anew, with OpenSSL 3, in the folder it lies in. All of them open with key.pem, a key that
# protects nothing, and hold plain.bin.
set -eu
cd "$(dirname "$0")"
[ -f key.pem ] || openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -subj /CN=test -days 36500 \
	-addext subjectKeyIdentifier=hash
[ -f plain.bin ] || openssl rand -out plain.bin 1217
seal() {
	out=$1
	shift
	openssl cms -encrypt -keyid -binary -aes-256-cbc -outform DER -in plain.bin -recip cert.pem \
		-keyopt rsa_padding_mode:oaep -keyopt rsa_oaep_md:sha256 -keyopt rsa_mgf1_md:sha256 "$@" >"$out"
}
seal openssl-indefinite.der -stream -indef
seal openssl-definite.der
# What must be refused: other algorithms, and recipients named by issuer and serial number.
openssl cms -encrypt -keyid -binary -aes-256-cbc -outform DER -in plain.bin -recip cert.pem \
	-keyopt rsa_padding_mode:oaep >refused-oaep-sha1.der
openssl cms -encrypt -keyid -binary -aes-256-cbc -outform DER -in plain.bin -recip cert.pem \
	-keyopt rsa_padding_mode:oaep -keyopt rsa_oaep_md:sha256 -keyopt rsa_mgf1_md:sha1 >refused-mgf1-sha1.der
openssl cms -encrypt -keyid -binary -aes-256-cbc -outform DER -in plain.bin -recip cert.pem >refused-pkcs1v15.der
openssl cms -encrypt -keyid -binary -aes-128-cbc -outform DER -in plain.bin -recip cert.pem \
	-keyopt rsa_padding_mode:oaep -keyopt rsa_oaep_md:sha256 -keyopt rsa_mgf1_md:sha256 >refused-aes128.der
openssl cms -encrypt -keyid -binary -aes-256-gcm -outform DER -in plain.bin -recip cert.pem \
	-keyopt rsa_padding_mode:oaep -keyopt rsa_oaep_md:sha256 -keyopt rsa_mgf1_md:sha256 >refused-aes256gcm.der
openssl cms -encrypt -binary -aes-256-cbc -outform DER -in plain.bin -recip cert.pem \
	-keyopt rsa_padding_mode:oaep -keyopt rsa_oaep_md:sha256 -keyopt rsa_mgf1_md:sha256 >refused-issuer-serial.der
