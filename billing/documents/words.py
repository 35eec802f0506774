"""Every word on an invoice, in the languages invoices are written in: one row each, so that none is missing.

Words that the law asks for are those of its national versions (Directive 2006/112/EC, Article 226). A name in braces is
replaced, and is in every language of its row.
"""

from __future__ import annotations

LANGUAGES = ("en", "de", "fr", "tr")
DEFAULT = "en"

WORDS: dict[str, tuple[str, str, str, str]] = {
    "invoice": ("Invoice", "Rechnung", "Facture", "Fatura"),
    "draft": ("Draft invoice", "Rechnungsentwurf", "Projet de facture", "Fatura taslağı"),
    "credit_note": ("Credit note", "Gutschrift (Rechnungskorrektur)", "Avoir", "İade faturası"),
    "watermark": ("DRAFT", "ENTWURF", "PROJET", "TASLAK"),
    "from": ("From", "Von", "Émetteur", "Satıcı"),
    "to": ("To", "An", "Destinataire", "Alıcı"),
    "number": ("Number", "Nummer", "Numéro", "Numara"),
    "issued": ("Issued", "Ausgestellt", "Date d’émission", "Düzenleme tarihi"),
    "due_on": ("Due", "Fällig", "Échéance", "Son ödeme tarihi"),
    "corrects": ("Corrects", "Korrigiert", "Rectifie", "Düzelttiği fatura"),
    "of_day": ("{number} of {day}", "{number} vom {day}", "{number} du {day}", "{day} tarihli {number}"),
    "period": ("Period", "Zeitraum", "Période", "Dönem"),
    "first_day": ("First day", "Erster Tag", "Premier jour", "İlk gün"),
    "last_day": ("Last day", "Letzter Tag", "Dernier jour", "Son gün"),
    "time_zone": ("Time zone", "Zeitzone", "Fuseau horaire", "Saat dilimi"),
    "none_yet": ("none yet", "noch keine", "pas encore attribué", "henüz yok"),
    "not_issued": ("not issued", "nicht ausgestellt", "non émise", "düzenlenmedi"),
    "tax_id": ("Tax number", "Steuernummer", "N° fiscal", "Vergi no."),
    "vat_id": ("VAT id", "USt-IdNr.", "N° TVA", "KDV no."),
    "register_id": ("Register", "Register", "Registre", "Sicil no."),
    "page": ("page {page} of {pages}", "Seite {page} von {pages}", "page {page} sur {pages}", "sayfa {page}/{pages}"),
    "usage": ("Usage", "Nutzung", "Consommation", "Kullanım"),
    "quantity": ("Quantity", "Menge", "Quantité", "Miktar"),
    "unit_price": ("{currency} per unit", "{currency} je Einheit", "{currency} par unité", "Birim fiyat ({currency})"),
    "tax_column": ("VAT", "USt.", "TVA", "KDV"),
    "amount": ("Amount ({currency})", "Betrag ({currency})", "Montant ({currency})", "Tutar ({currency})"),
    "each": ("each", "je Stück", "l’unité", "adet başına"),
    "per_million": ("per 1M", "je 1 Mio.", "par million", "1 milyon başına"),
    "other": ("Other", "Sonstiges", "Autres", "Diğer"),
    "used_in": ("used in {month}", "genutzt im {month}", "consommé en {month}", "{month} kullanımı"),
    "prices_of": (
        "prices of {day} (version {version})",
        "Preise vom {day} (Version {version})",
        "tarifs du {day} (version {version})",
        "{day} tarihli fiyatlar (sürüm {version})",
    ),
    "nothing": (
        "Nothing was used in this period.",
        "In diesem Zeitraum wurde nichts genutzt.",
        "Aucune consommation pour cette période.",
        "Bu dönemde kullanım yok.",
    ),
    "subtotal": ("Subtotal", "Zwischensumme", "Total hors taxes", "Ara toplam"),
    "net": ("Total without VAT", "Summe netto", "Total HT", "KDV hariç toplam"),
    "tax": ("Tax", "Steuer", "Taxes", "Vergi"),
    "tax_at": (
        "VAT {rate} on {base}",
        "USt. {rate} auf {base}",
        "TVA {rate} sur {base}",
        "KDV {rate}, matrah {base}",
    ),
    "total_due": ("Total due", "Zu zahlen", "Total à payer", "Ödenecek tutar"),
    "total_credited": ("Total credited", "Gutgeschrieben", "Total crédité", "Toplam iade"),
    "from_balance": (
        "Total, paid from balance",
        "Gesamt, aus Guthaben bezahlt",
        "Total, réglé sur le solde",
        "Toplam, bakiyeden ödendi",
    ),
    "rounding": (
        "Each line is rounded once, half up, to the minor unit of {currency}; the total is the sum of the lines. "
        "The exact sum is {exact} USD.",
        "Jede Zeile wird einmal kaufmännisch auf die kleinste Einheit von {currency} gerundet; die Summe ist die "
        "Summe der Zeilen. Die genaue Summe ist {exact} USD.",
        "Chaque ligne est arrondie une fois à la plus petite unité de {currency} ; le total est la somme des lignes. "
        "La somme exacte est de {exact} USD.",
        "Her satır bir kez {currency} para biriminin en küçük birimine yuvarlanır; toplam, satırların toplamıdır. "
        "Kesin toplam {exact} USD’dir.",
    ),
    "rate": (
        "Prices are in USD. 1 USD = {rate} {currency} ({source}, {day}).",
        "Die Preise sind in USD. 1 USD = {rate} {currency} ({source}, {day}).",
        "Les prix sont en USD. 1 USD = {rate} {currency} ({source}, {day}).",
        "Fiyatlar USD cinsindendir. 1 USD = {rate} {currency} ({source}, {day}).",
    ),
    "prepaid": (
        "This amount was paid from your prepaid balance. There is nothing left to pay.",
        "Dieser Betrag wurde aus Ihrem Guthaben bezahlt. Es ist nichts mehr zu zahlen.",
        "Ce montant a été réglé sur votre solde prépayé. Il ne reste rien à payer.",
        "Bu tutar ön ödemeli bakiyenizden ödendi. Ödenecek bir tutar kalmadı.",
    ),
    "draft_note": (
        "This is a draft: it changes with further usage and asks for no payment.",
        "Dies ist ein Entwurf: Er ändert sich mit weiterer Nutzung und fordert zu keiner Zahlung auf.",
        "Ceci est un projet : il change avec la consommation et n’appelle aucun paiement.",
        "Bu bir taslaktır: kullanım sürdükçe değişir ve ödeme gerektirmez.",
    ),
    "terms": ("Payable by {day}.", "Zahlbar bis {day}.", "Payable avant le {day} inclus.", "Son ödeme tarihi: {day}."),
    "terms_none": (
        "Payable on receipt.",
        "Zahlbar sofort nach Erhalt.",
        "Payable à réception.",
        "Alındığında ödenir.",
    ),
    "AE": (
        "Reverse charge: the recipient owes the VAT (Article 196, Directive 2006/112/EC).",
        "Steuerschuldnerschaft des Leistungsempfängers (Reverse Charge, Artikel 196 der Richtlinie 2006/112/EG).",
        "Autoliquidation : TVA due par le preneur (article 196 de la directive 2006/112/CE).",
        "Vergi alıcı tarafından ödenir (reverse charge, 2006/112/AT sayılı Direktif, madde 196).",
    ),
    "E": ("Exempt from VAT.", "Umsatzsteuerfrei.", "Exonéré de TVA.", "KDV’den istisnadır."),
    "G": (
        "Not taxed: supplied to a recipient outside the EU.",
        "Nicht steuerbar: Leistung an einen Empfänger außerhalb der EU.",
        "Non soumis à la TVA : prestation fournie hors de l’UE.",
        "Vergiye tabi değil: AB dışındaki alıcıya hizmet.",
    ),
    "K": (
        "Intra-Community supply, exempt from VAT.",
        "Steuerfreie innergemeinschaftliche Lieferung.",
        "Livraison intracommunautaire exonérée de TVA.",
        "Topluluk içi teslim, KDV’den istisna.",
    ),
    "O": (
        "Not subject to VAT.",
        "Nicht umsatzsteuerbar.",
        "Hors champ d’application de la TVA.",
        "KDV kapsamı dışındadır.",
    ),
    "Z": ("VAT at the zero rate.", "Umsatzsteuer zum Nullsatz.", "TVA au taux zéro.", "KDV oranı sıfırdır."),
    "pay": ("Payment", "Zahlung", "Paiement", "Ödeme"),
    "holder": ("Account holder", "Kontoinhaber", "Titulaire", "Hesap sahibi"),
    "reference": ("Reference", "Verwendungszweck", "Référence", "Açıklama"),
    "scan": (
        "Scan to pay by SEPA transfer",
        "Zum Überweisen scannen",
        "Scanner pour payer par virement",
        "SEPA havalesi için tarayın",
    ),
    "evidence": (
        "Evidence pack: {rows} rows, SHA-256 of its CSV {hash}",
        "Nachweispaket: {rows} Zeilen, SHA-256 der CSV-Datei {hash}",
        "Dossier justificatif : {rows} lignes, SHA-256 du fichier CSV {hash}",
        "Kanıt paketi: {rows} satır, CSV dosyasının SHA-256 özeti {hash}",
    ),
    "undrawn": (
        "Characters that this document has no glyphs for are shown as {mark}; the electronic invoice has them.",
        "Zeichen, für die es hier keine Schrift gibt, sind als {mark} gezeigt; die elektronische Rechnung hat sie.",
        "Les caractères sans glyphe ici sont remplacés par {mark} ; la facture électronique les contient.",
        "Burada gösterilemeyen karakterler {mark} ile gösterilir; elektronik faturada yer alırlar.",
    ),
    "annex": (
        "Annex: usage per project and key",
        "Anlage: Nutzung je Projekt und Schlüssel",
        "Annexe : consommation par projet et par clé",
        "Ek: proje ve anahtar başına kullanım",
    ),
    "annex_note": (
        "USD, exact, before rounding and taxes. Tokens in include cached ones, tokens out include reasoning.",
        "USD, genau, vor Rundung und Steuern. Eingabe-Tokens enthalten zwischengespeicherte, Ausgabe-Tokens das "
        "Nachdenken.",
        "USD, montants exacts, avant arrondi et taxes. Les tokens en entrée comprennent ceux du cache, ceux en sortie "
        "le raisonnement.",
        "USD, yuvarlama ve vergiden önce, kesin. Girdi tokenlerine önbellek, çıktı tokenlerine akıl yürütme dahildir.",
    ),
    "annex_total": ("Total", "Summe", "Total", "Toplam"),
    "key": ("Key", "Schlüssel", "Clé", "Anahtar"),
    "model": ("Model", "Modell", "Modèle", "Model"),
    "requests": ("Requests", "Anfragen", "Requêtes", "İstekler"),
    "tokens_in": ("Tokens in", "Tokens ein", "Tokens entrée", "Girdi"),
    "tokens_out": ("Tokens out", "Tokens aus", "Tokens sortie", "Çıktı"),
    "exact": ("USD, exact", "USD, genau", "USD, exact", "USD, kesin"),
    # Token classes and surcharges, by the names of billing/meters.py.
    "input": ("Input tokens", "Eingabe-Tokens", "Tokens en entrée", "Girdi tokenleri"),
    "cache_read": (
        "Input tokens, read from cache",
        "Eingabe-Tokens, aus dem Cache",
        "Tokens en entrée, lus du cache",
        "Girdi tokenleri, önbellekten",
    ),
    "cache_write_5m": (
        "Input tokens, written to cache for 5 minutes",
        "Eingabe-Tokens, für 5 Minuten in den Cache",
        "Tokens en entrée, mis en cache 5 minutes",
        "Girdi tokenleri, 5 dakika önbelleğe yazılan",
    ),
    "cache_write_1h": (
        "Input tokens, written to cache for 1 hour",
        "Eingabe-Tokens, für 1 Stunde in den Cache",
        "Tokens en entrée, mis en cache 1 heure",
        "Girdi tokenleri, 1 saat önbelleğe yazılan",
    ),
    "input_audio": (
        "Input tokens, audio",
        "Eingabe-Tokens, Audio",
        "Tokens en entrée, audio",
        "Girdi tokenleri, ses",
    ),
    "input_image": (
        "Input tokens, image",
        "Eingabe-Tokens, Bild",
        "Tokens en entrée, image",
        "Girdi tokenleri, görsel",
    ),
    "output": ("Output tokens", "Ausgabe-Tokens", "Tokens en sortie", "Çıktı tokenleri"),
    "reasoning": (
        "Output tokens, reasoning",
        "Ausgabe-Tokens, Nachdenken",
        "Tokens en sortie, raisonnement",
        "Çıktı tokenleri, akıl yürütme",
    ),
    "output_audio": (
        "Output tokens, audio",
        "Ausgabe-Tokens, Audio",
        "Tokens en sortie, audio",
        "Çıktı tokenleri, ses",
    ),
    "output_image": (
        "Output tokens, image",
        "Ausgabe-Tokens, Bild",
        "Tokens en sortie, image",
        "Çıktı tokenleri, görsel",
    ),
    "per_request": ("Requests", "Anfragen", "Requêtes", "İstekler"),
    "per_web_search": ("Web searches", "Websuchen", "Recherches web", "Web aramaları"),
    "per_image": ("Images", "Bilder", "Images", "Görseller"),
    # What a contract comes to: a line each, and what it is about.
    "tier_graduated_tokens": (
        "Graduated price of {what}: {quantity} tokens, up to tier {tier}",
        "Staffelpreis für {what}: {quantity} Tokens, bis Stufe {tier}",
        "Prix par paliers de {what} : {quantity} tokens, jusqu’au palier {tier}",
        "{what} kademeli fiyatı: {quantity} token, {tier}. kademeye kadar",
    ),
    "tier_volume_tokens": (
        "Volume price of {what}: {quantity} tokens in tier {tier}",
        "Mengenpreis für {what}: {quantity} Tokens in Stufe {tier}",
        "Prix au volume de {what} : {quantity} tokens au palier {tier}",
        "{what} hacim fiyatı: {quantity} token, {tier}. kademe",
    ),
    "tier_graduated_usd": (
        "Graduated discount on {what}: {quantity} USD at list price, up to tier {tier}",
        "Staffelrabatt auf {what}: {quantity} USD zum Listenpreis, bis Stufe {tier}",
        "Remise par paliers sur {what} : {quantity} USD au tarif public, jusqu’au palier {tier}",
        "{what} kademeli indirimi: liste fiyatıyla {quantity} USD, {tier}. kademeye kadar",
    ),
    "tier_volume_usd": (
        "Volume discount on {what}: {quantity} USD at list price in tier {tier}",
        "Mengenrabatt auf {what}: {quantity} USD zum Listenpreis in Stufe {tier}",
        "Remise au volume sur {what} : {quantity} USD au tarif public au palier {tier}",
        "{what} hacim indirimi: liste fiyatıyla {quantity} USD, {tier}. kademe",
    ),
    "free_tokens": (
        "Free tokens of {what}: {used} of {granted} used",
        "Freie Tokens für {what}: {used} von {granted} genutzt",
        "Tokens offerts de {what} : {used} sur {granted} utilisés",
        "{what} ücretsiz tokenleri: {granted} içinden {used} kullanıldı",
    ),
    "free_amount": (
        "Free allowance of {granted} USD: {used} USD used",
        "Freibetrag von {granted} USD: {used} USD genutzt",
        "Franchise de {granted} USD : {used} USD utilisés",
        "{granted} USD ücretsiz kullanım: {used} USD kullanıldı",
    ),
    "minimum": (
        "Minimum of {agreed} USD: {spent} USD used",
        "Mindestumsatz von {agreed} USD: {spent} USD genutzt",
        "Minimum de {agreed} USD : {spent} USD consommés",
        "{agreed} USD asgari tutar: {spent} USD kullanıldı",
    ),
    "all_models": ("all models", "alle Modelle", "tous les modèles", "tüm modeller"),
    "difference": (
        "{line} (change)",
        "{line} (Änderung)",
        "{line} (modification)",
        "{line} (değişiklik)",
    ),
    "taken_back": ("Taken back: {line}", "Zurückgenommen: {line}", "Annulé : {line}", "Geri alındı: {line}"),
}


def words(language: str) -> dict[str, str]:
    """All words in a language, in English if it is none of ours."""
    place = LANGUAGES.index(language if language in LANGUAGES else DEFAULT)
    return {key: row[place] for key, row in WORDS.items()}
