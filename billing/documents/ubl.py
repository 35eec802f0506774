"""An invoice or credit note as UBL 2.1 in the customization of Peppol BIS Billing 3."""

from __future__ import annotations

from billing.documents.factur_x import CREDIT_NOTE, CREDIT_TRANSFER, INVOICE, SEPA_TRANSFER, outside_vat
from billing.documents.paper import Item, Paper, Party, Tax, check
from billing.documents.xml import EXEMPT, PIECE, Node, day, money, rate_of, root, written

CUSTOMIZATION = "urn:cen.eu:en16931:2017#compliant#urn:fdc:peppol.eu:2017:poacc:billing:3.0"
PROFILE = "urn:fdc:peppol.eu:2017:poacc:billing:01:1.0"
UBL = "urn:oasis:names:specification:ubl:schema:xsd:"
PARTS = {"cac": UBL + "CommonAggregateComponents-2", "cbc": UBL + "CommonBasicComponents-2"}
DISCOUNT = "95"
"""UNTDID 5189: an allowance that is a discount."""


def build(paper: Paper) -> bytes:
    """The XML of a document. Raises PaperProblem if something that must be said is not known."""
    check(paper)
    kind = "CreditNote" if paper.credit_note else "Invoice"
    document = root(f"ubl:{kind}", {"ubl": f"{UBL}{kind}-2", **PARTS}, default="ubl")
    _head(document, paper, kind)
    _party(document.add("cac:AccountingSupplierParty").add("cac:Party"), paper, paper.seller)
    _party(document.add("cac:AccountingCustomerParty").add("cac:Party"), paper, paper.buyer)
    _payment(document, paper)
    for allowance in paper.allowances:
        node = document.add("cac:AllowanceCharge")
        node.add("cbc:ChargeIndicator", "false")
        node.add("cbc:AllowanceChargeReasonCode", DISCOUNT)
        node.add("cbc:AllowanceChargeReason", allowance.reason)
        _money(node, "cbc:Amount", paper, allowance.amount)
        _category(node.add("cac:TaxCategory"), allowance.tax)
    _taxes(document.add("cac:TaxTotal"), paper)
    _totals(document.add("cac:LegalMonetaryTotal"), paper)
    for item in paper.items:
        _line(document.add(f"cac:{kind}Line"), paper, item)
    return written(document)


def _head(document: Node, paper: Paper, kind: str) -> None:
    document.add("cbc:CustomizationID", CUSTOMIZATION)
    document.add("cbc:ProfileID", PROFILE)
    document.add("cbc:ID", paper.number)
    document.add("cbc:IssueDate", day(paper.issued_on))
    if paper.due_on and not paper.credit_note:  # a credit note has no place for it
        document.add("cbc:DueDate", day(paper.due_on))
    document.add(f"cbc:{kind}TypeCode", CREDIT_NOTE if paper.credit_note else INVOICE)
    if paper.notes:  # Peppol allows one
        document.add("cbc:Note", "\n".join(paper.notes))
    document.add("cbc:DocumentCurrencyCode", paper.currency)
    document.add("cbc:BuyerReference", paper.buyer.reference or paper.number)
    period = document.add("cac:InvoicePeriod")
    period.add("cbc:StartDate", day(paper.first_day))
    period.add("cbc:EndDate", day(paper.last_day))
    if paper.corrects:
        reference = document.add("cac:BillingReference").add("cac:InvoiceDocumentReference")
        reference.add("cbc:ID", paper.corrects[0])
        reference.add("cbc:IssueDate", day(paper.corrects[1]))


def _party(node: Node, paper: Paper, party: Party) -> None:
    node.add_if("cbc:EndpointID", party.email, schemeID="EM")
    node.add("cac:PartyName").add("cbc:Name", party.name)
    address = node.add("cac:PostalAddress")
    for name, row in zip(("cbc:StreetName", "cbc:AdditionalStreetName"), party.address[:2], strict=False):
        address.add_if(name, row)
    if rest := ", ".join(party.address[2:]):
        address.add("cac:AddressLine").add("cbc:Line", rest)
    address.add("cac:Country").add("cbc:IdentificationCode", party.country)
    if party.vat_id and not outside_vat(paper):
        _registration(node, party.vat_id, "VAT")
    if party.tax_id and party is paper.seller:  # only a seller may have one (UBL-SR-13)
        _registration(node, party.tax_id, "TAX")
    entity = node.add("cac:PartyLegalEntity")
    entity.add("cbc:RegistrationName", party.name)
    entity.add_if("cbc:CompanyID", party.register_id)
    if party.email:
        node.add("cac:Contact").add("cbc:ElectronicMail", party.email)


def _registration(node: Node, number: str, scheme: str) -> None:
    registration = node.add("cac:PartyTaxScheme")
    registration.add("cbc:CompanyID", number)
    registration.add("cac:TaxScheme").add("cbc:ID", scheme)


def _payment(document: Node, paper: Paper) -> None:
    if paper.payment:
        means = document.add("cac:PaymentMeans")
        means.add("cbc:PaymentMeansCode", SEPA_TRANSFER if paper.currency == "EUR" else CREDIT_TRANSFER)
        means.add_if("cbc:PaymentID", paper.payment.reference)
        account = means.add("cac:PayeeFinancialAccount")
        account.add("cbc:ID", paper.payment.iban)
        account.add_if("cbc:Name", paper.payment.holder)
        if paper.payment.bic:
            account.add("cac:FinancialInstitutionBranch").add("cbc:ID", paper.payment.bic)
    if paper.terms:
        document.add("cac:PaymentTerms").add("cbc:Note", paper.terms)


def _taxes(node: Node, paper: Paper) -> None:
    _money(node, "cbc:TaxAmount", paper, paper.totals.tax)
    for group in paper.taxes:
        subtotal = node.add("cac:TaxSubtotal")
        _money(subtotal, "cbc:TaxableAmount", paper, group.base)
        _money(subtotal, "cbc:TaxAmount", paper, group.amount)
        _category(subtotal.add("cac:TaxCategory"), group.tax, with_reason=True)


def _category(node: Node, tax: Tax, *, with_reason: bool = False) -> None:
    node.add("cbc:ID", tax.category)
    node.add_if("cbc:Percent", rate_of(tax))
    if with_reason:
        code, reason = EXEMPT.get(tax.category, ("", ""))
        node.add_if("cbc:TaxExemptionReasonCode", code)
        node.add_if("cbc:TaxExemptionReason", reason)
    node.add("cac:TaxScheme").add("cbc:ID", "VAT")


def _totals(node: Node, paper: Paper) -> None:
    totals = paper.totals
    _money(node, "cbc:LineExtensionAmount", paper, totals.lines)
    _money(node, "cbc:TaxExclusiveAmount", paper, totals.net)
    _money(node, "cbc:TaxInclusiveAmount", paper, totals.gross)
    if totals.allowances:
        _money(node, "cbc:AllowanceTotalAmount", paper, totals.allowances)
    if totals.paid:
        _money(node, "cbc:PrepaidAmount", paper, totals.paid)
    _money(node, "cbc:PayableAmount", paper, totals.due)


def _line(node: Node, paper: Paper, item: Item) -> None:
    node.add("cbc:ID", str(item.number))
    quantity = "cbc:CreditedQuantity" if paper.credit_note else "cbc:InvoicedQuantity"
    node.add(quantity, str(item.quantity), unitCode=PIECE)
    _money(node, "cbc:LineExtensionAmount", paper, item.amount)
    product = node.add("cac:Item")
    product.add_if("cbc:Description", item.detail)
    product.add("cbc:Name", item.name)
    _category(product.add("cac:ClassifiedTaxCategory"), item.tax)
    price = node.add("cac:Price")
    price.add("cbc:PriceAmount", item.price, currencyID=paper.currency)
    price.add("cbc:BaseQuantity", str(item.per), unitCode=PIECE)


def _money(node: Node, name: str, paper: Paper, minor: int) -> None:
    node.add(name, money(paper, minor), currencyID=paper.currency)
