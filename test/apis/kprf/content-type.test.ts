import { expect } from 'chai'
import { isJsonContentType } from '../../../src/apis/kprf/push.js'
import { checkRows } from '../../support/rows.js'

/** Source: warp 0.3.1 asks the crate mime 0.3.16; its answers to these were recorded once. */
const accepted = [
  undefined,
  'application/json',
  'APPLICATION/JSON',
  'application/json;charset=utf-8',
  'application/json;  a=b',
  'application/json;',
  'application/json; ',
  'application/json;charset=',
  'application/json; charset="utf-8"',
  'application/json;charset=utf-8;',
  'application/json;charset=utf-8; ',
  'application/json+x',
  'application/json+',
  'application/json+x;charset=utf-8',
  'application/json;a=b;c=d',
  'application/json;a="b;c"',
  'application/json;a="b";',
  'application/json;a=""b"',
  "application/json;a='b'"
]
const refused = [
  '',
  '*/*',
  'text/json',
  'application/jsonx',
  'application/json.x',
  'application/json/x',
  'application/vnd+json',
  'application/json+x+y',
  'application/json, text/plain',
  'application/x-www-form-urlencoded',
  'application/json ;charset=utf-8',
  'application/json ',
  'application/json;charset',
  'application/json;=b',
  'application/json;a=b c',
  'application/json;a=b;;c=d',
  'application/json;a=;c=d',
  'application/json;a=""',
  'application/json;a="b',
  'application/json;a="b"c',
  'application/json;a="b\\"c"',
  'application/json;a=b=c',
  'application/json;a=b/c',
  'application/json;a={b}',
  'application/json;\tcharset=utf-8',
  'application/json;\u00e9=1',
  'application/json;a="\u00e9"'
]

describe('kprf isJsonContentType', () => {
  it('takes a content type of JSON, however it is written', () =>
    checkRows(accepted, header => expect(isJsonContentType(header)).to.equal(true)))
  it('refuses a content type of anything else', () =>
    checkRows(refused, header => expect(isJsonContentType(header)).to.equal(false)))

  it('answers a long hostile header at once', () => {
    expect(isJsonContentType(`application/json;${'a=b;'.repeat(4_000)}=`)).to.equal(false)
    expect(isJsonContentType(`application/json;a="${' '.repeat(15_000)}`)).to.equal(false)
    expect(isJsonContentType(`application/json;${' '.repeat(15_000)}\t`)).to.equal(false)
  })
})
