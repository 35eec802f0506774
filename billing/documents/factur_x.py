"""An invoice as Factur-X (ZUGFeRD) XML: UN/CEFACT Cross Industry Invoice in the profile EN 16931."""

from __future__ import annotations

from datetime import date

from billing.documents.paper import Allowance, Item, Paper, Party, Tax, TaxGroup, check
from billing.documents.xml import EXEMPT, PIECE, Node, money, rate_of, root, written

FILE_NAME = "factur-x.xml"
PROFILE = "urn:cen.eu:en16931:2017"
INVOICE, CREDIT_NOTE = "380", "381"
CREDIT_TRANSFER, SEPA_TRANSFER = "30", "58"
NAMESPACES = {
    "rsm": "urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:100",
    "ram": "urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:100",
    "qdt": "urn:un:unece:uncefact:data:standard:QualifiedDataType:100",
    "udt": "urn:un:unece:uncefact:data:standard:UnqualifiedDataType:100",
}


def build(paper: Paper) -> bytes:
    """The XML of a document. Raises PaperProblem if something that must be said is not known."""
    check(paper)
    document = root("rsm:CrossIndustryInvoice", NAMESPACES)
    context = document.add("rsm:ExchangedDocumentContext")
    context.add("ram:GuidelineSpecifiedDocumentContextParameter").add("ram:ID", PROFILE)
    head = document.add("rsm:ExchangedDocument")
    head.add("ram:ID", paper.number)
    head.add("ram:TypeCode", CREDIT_NOTE if paper.credit_note else INVOICE)
    _date(head.add("ram:IssueDateTime"), paper.issued_on)
    for note in paper.notes:
        head.add("ram:IncludedNote").add("ram:Content", note)
    transaction = document.add("rsm:SupplyChainTradeTransaction")
    for item in paper.items:
        _line(transaction.add("ram:IncludedSupplyChainTradeLineItem"), paper, item)
    agreement = transaction.add("ram:ApplicableHeaderTradeAgreement")
    agreement.add_if("ram:BuyerReference", paper.buyer.reference)
    _party(agreement.add("ram:SellerTradeParty"), paper, paper.seller)
    _party(agreement.add("ram:BuyerTradeParty"), paper, paper.buyer)
    delivered = transaction.add("ram:ApplicableHeaderTradeDelivery").add("ram:ActualDeliverySupplyChainEvent")
    _date(delivered.add("ram:OccurrenceDateTime"), paper.last_day)
    _settlement(transaction.add("ram:ApplicableHeaderTradeSettlement"), paper)
    return written(document)


def _line(line: Node, paper: Paper, item: Item) -> None:
    line.add("ram:AssociatedDocumentLineDocument").add("ram:LineID", str(item.number))
    product = line.add("ram:SpecifiedTradeProduct")
    product.add("ram:Name", item.name)
    product.add_if("ram:Description", item.detail)
    price = line.add("ram:SpecifiedLineTradeAgreement").add("ram:NetPriceProductTradePrice")
    price.add("ram:ChargeAmount", item.price)
    price.add("ram:BasisQuantity", str(item.per), unitCode=PIECE)
    line.add("ram:SpecifiedLineTradeDelivery").add("ram:BilledQuantity", str(item.quantity), unitCode=PIECE)
    settlement = line.add("ram:SpecifiedLineTradeSettlement")
    _tax(settlement.add("ram:ApplicableTradeTax"), item.tax)
    summation = settlement.add("ram:SpecifiedTradeSettlementLineMonetarySummation")
    summation.add("ram:LineTotalAmount", money(paper, item.amount))


def _party(node: Node, paper: Paper, party: Party) -> None:
    """No VAT ids on what is outside the scope of VAT: BR-O-2 to BR-O-4."""
    node.add("ram:Name", party.name)
    if party.register_id:
        node.add("ram:SpecifiedLegalOrganization").add("ram:ID", party.register_id)
    address = node.add("ram:PostalTradeAddress")
    for name, row in zip(("ram:LineOne", "ram:LineTwo", "ram:LineThree"), _three(party.address), strict=False):
        address.add_if(name, row)
    address.add("ram:CountryID", party.country)
    if party.email:
        node.add("ram:URIUniversalCommunication").add("ram:URIID", party.email, schemeID="EM")
    if party.tax_id:
        node.add("ram:SpecifiedTaxRegistration").add("ram:ID", party.tax_id, schemeID="FC")
    if party.vat_id and not outside_vat(paper):
        node.add("ram:SpecifiedTaxRegistration").add("ram:ID", party.vat_id, schemeID="VA")


def outside_vat(paper: Paper) -> bool:
    """Whether nothing on it is subject to VAT; such lines are never mixed with others (BR-O-11)."""
    return any(group.tax.category == "O" for group in paper.taxes)


def _settlement(node: Node, paper: Paper) -> None:
    if paper.payment:
        node.add_if("ram:PaymentReference", paper.payment.reference)
    node.add("ram:InvoiceCurrencyCode", paper.currency)
    if paper.payment:
        means = node.add("ram:SpecifiedTradeSettlementPaymentMeans")
        means.add("ram:TypeCode", SEPA_TRANSFER if paper.currency == "EUR" else CREDIT_TRANSFER)
        account = means.add("ram:PayeePartyCreditorFinancialAccount")
        account.add("ram:IBANID", paper.payment.iban)
        account.add_if("ram:AccountName", paper.payment.holder)
        if paper.payment.bic:
            institution = means.add("ram:PayeeSpecifiedCreditorFinancialInstitution")
            institution.add("ram:BICID", paper.payment.bic)
    for group in paper.taxes:
        _group(node.add("ram:ApplicableTradeTax"), paper, group)
    period = node.add("ram:BillingSpecifiedPeriod")
    _date(period.add("ram:StartDateTime"), paper.first_day)
    _date(period.add("ram:EndDateTime"), paper.last_day)
    for allowance in paper.allowances:
        _allowance(node.add("ram:SpecifiedTradeAllowanceCharge"), paper, allowance)
    if paper.terms or paper.due_on:
        terms = node.add("ram:SpecifiedTradePaymentTerms")
        terms.add_if("ram:Description", paper.terms)
        if paper.due_on:
            _date(terms.add("ram:DueDateDateTime"), paper.due_on)
    _totals(node.add("ram:SpecifiedTradeSettlementHeaderMonetarySummation"), paper)
    if paper.corrects:
        preceding = node.add("ram:InvoiceReferencedDocument")
        preceding.add("ram:IssuerAssignedID", paper.corrects[0])
        formatted = preceding.add("ram:FormattedIssueDateTime")
        formatted.add("qdt:DateTimeString", f"{paper.corrects[1]:%Y%m%d}", format="102")


def _group(node: Node, paper: Paper, group: TaxGroup) -> None:
    code, reason = EXEMPT.get(group.tax.category, ("", ""))
    node.add("ram:CalculatedAmount", money(paper, group.amount))
    node.add("ram:TypeCode", "VAT")
    node.add_if("ram:ExemptionReason", reason)
    node.add("ram:BasisAmount", money(paper, group.base))
    node.add("ram:CategoryCode", group.tax.category)
    node.add_if("ram:ExemptionReasonCode", code)
    node.add_if("ram:RateApplicablePercent", rate_of(group.tax))


def _allowance(node: Node, paper: Paper, allowance: Allowance) -> None:
    node.add("ram:ChargeIndicator").add("udt:Indicator", "false")
    node.add("ram:ActualAmount", money(paper, allowance.amount))
    node.add("ram:Reason", allowance.reason)
    _tax(node.add("ram:CategoryTradeTax"), allowance.tax)


def _tax(node: Node, tax: Tax) -> None:
    node.add("ram:TypeCode", "VAT")
    node.add("ram:CategoryCode", tax.category)
    node.add_if("ram:RateApplicablePercent", rate_of(tax))


def _totals(node: Node, paper: Paper) -> None:
    totals = paper.totals
    node.add("ram:LineTotalAmount", money(paper, totals.lines))
    if totals.allowances:
        node.add("ram:AllowanceTotalAmount", money(paper, totals.allowances))
    node.add("ram:TaxBasisTotalAmount", money(paper, totals.net))
    node.add("ram:TaxTotalAmount", money(paper, totals.tax), currencyID=paper.currency)
    node.add("ram:GrandTotalAmount", money(paper, totals.gross))
    if totals.paid:
        node.add("ram:TotalPrepaidAmount", money(paper, totals.paid))
    node.add("ram:DuePayableAmount", money(paper, totals.due))


def _date(node: Node, value: date) -> None:
    node.add("udt:DateTimeString", f"{value:%Y%m%d}", format="102")


def _three(rows: tuple[str, ...]) -> tuple[str, ...]:
    """An address in the three lines there are."""
    return rows if len(rows) <= 3 else (*rows[:2], ", ".join(rows[2:]))
