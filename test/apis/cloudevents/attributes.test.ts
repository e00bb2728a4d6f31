import { expect } from 'chai'
import fc from 'fast-check'
import {
  checkAttributes,
  decodeValue,
  encodeValue,
  headerValue,
  isLegalText,
  readAttributes
} from '../../../src/apis/cloudevents/attributes.js'
import { checkRows } from '../../support/rows.js'

const isValid = (name: string, value: string): boolean => {
  const defects: string[] = []
  const required = { specversion: '1.0', id: '1', source: '/s', type: 't' }
  checkAttributes(new Map(Object.entries({ ...required, [name]: value })), defect => defects.push(defect))
  return defects.length === 0
}

describe('cloudevents: values of attributes', () => {
  const cases: Readonly<Record<string, { readonly valid: string[]; readonly invalid: string[] }>> = {
    source: {
      valid: [
        'https://github.com/cloudevents',
        'mailto:cncf-wg-serverless@lists.cncf.io',
        'urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66',
        '/cloudevents/spec/pull/123',
        '1-555-123-4567',
        'http://u:p@[::1]:80/a?b=c#d',
        '//host',
        '?x',
        '#f',
        'a%20b'
      ],
      invalid: ['a b', '1:2', 'http://[::1', 'a%2', 'a#b#c', 'caf\u00e9', 'http://h:port/', '{x}', 'a\\b']
    },
    dataschema: {
      valid: ['https://x.example/s.json', 'urn:x', 'a:/b#c', '#', '#1.0', '/s.json', 'a b'],
      invalid: ['']
    },
    time: {
      valid: [
        '2018-04-05T17:31:00Z',
        '2018-04-05t17:31:00.123456789z',
        '1990-12-31T23:59:60Z',
        '2020-02-29T00:00:00+23:59',
        '1937-01-01T12:00:27.87-00:20'
      ],
      invalid: [
        '2018-04-05',
        '2018-04-05 17:31:00Z',
        '2018-04-05T17:31:00',
        '2019-02-29T00:00:00Z',
        '2018-13-01T00:00:00Z',
        '2018-00-01T00:00:00Z',
        '2018-01-00T00:00:00Z',
        '2018-01-01T24:00:00Z',
        '2018-01-01T00:60:00Z',
        '2018-01-01T00:00:61Z',
        '2018-01-01T00:00:00+24:00',
        '2018-01-01T00:00:00+00:60',
        '2018-01-01T00:00:00.Z',
        ''
      ]
    },
    datacontenttype: {
      valid: ['text/plain', 'application/vnd.a+json;v=1', 'text/plain ; charset="a b\\"c";x=y;', 'a/b;', 'a/b; ;c=d'],
      invalid: ['text', 'text/', '/plain', 'text/plain x', 'text/plain;charset', 'text/plain;a="b', 'a b/c', '']
    },
    subject: { valid: ['a', 'ü'], invalid: [''] },
    type: { valid: ['com.example', '0'], invalid: [''] },
    specversion: { valid: ['1.0'], invalid: ['1.0.2', '1', '0.3', ''] },
    ext: { valid: ['', 'anything at all'], invalid: [] }
  }
  it('each type of attribute takes its values, and no others', () =>
    checkRows(Object.entries(cases), ([name, { valid, invalid }]) => {
      for (const value of valid) expect(isValid(name, value), value).to.equal(true)
      for (const value of invalid) expect(isValid(name, value), value).to.equal(false)
    }))

  it('a long value of any kind is checked in linear time', () => {
    const found: boolean[][] = []
    for (const evil of ['a/b'.padEnd(100_000, '; '), `a/b;c="${'\\"'.repeat(50_000)}`, `//${'@'.repeat(100_000)}`]) {
      found.push([isValid('datacontenttype', evil), isValid('source', evil)])
    }
    // Parameters may be empty.
    expect(found).to.deep.equal([
      [true, false],
      [false, false],
      [false, false]
    ])
  })

  it('each legal text survives the way through a header', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), text => {
        fc.pre(isLegalText(text))
        expect(encodeValue(text)).to.match(/^[!-~]*$/)
        expect(decodeValue(encodeValue(text))).to.deep.equal({ value: text })
      })
    )
  })

  it('a dataschema of any form survives the way through a header', () => {
    const survives = (text: string): void => {
      const headers = ['ce-dataschema', headerValue('dataschema', text)]
      const read = readAttributes(headers, defect => expect.fail(defect))
      expect(read.get('dataschema')).to.equal(text)
    }
    for (const text of ['#', '#a%20b', 'a b', '%C3%A9', '\u00e9', 'http://x/%7Bid%7D', 'http://x/{id}']) survives(text)
    fc.assert(fc.property(fc.string({ unit: 'binary', minLength: 1 }).filter(isLegalText), survives))
  })
})
