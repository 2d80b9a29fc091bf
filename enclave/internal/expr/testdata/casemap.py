#!/usr/bin/env python3
"""Writes casemap.json: Unicode's full case mappings, by Python's str.upper and str.lower.

Every code point whose mapping is not one code point, and words that show what depends on context.
"""
import json
import sys

words = ["ΟΔΥΣΣΕΥΣ", "ΑΣ ΒΣ.", "Σ", "ΑΣΑ", "Α'Σ'", "ΑΣ\u00ad", "İstanbul", "ıIiİ", "Straße", "ﬁnance", "ŉ", "ǰ", "ΐ",
         "ᾳ", "ᾼ", "Ǆ", "ǅ", "ǆ", "ÀÉÎÕÜ", "àéîõü", "Ͱͱ", "Ⴀა", "ᏸᏰ", "𐐀𐐨", "ẞß", "K", "Å", "Ω", "日本語", "😀a", "e\u0301E\u0301"]
special = [chr(c) for c in range(sys.maxunicode + 1)
           if not 0xD800 <= c < 0xE000 and (len(chr(c).upper()) > 1 or len(chr(c).lower()) > 1)]
rows = [{"text": t, "upper": t.upper(), "lower": t.lower()} for t in words + special]
with open("casemap.json", "w", encoding="utf-8") as f:
    f.write("[\n" + ",\n".join("  " + json.dumps(r) for r in rows) + "\n]\n")
