import { expect } from 'chai'
import { charsetOf, errorTypeOf, formatOf, isAcceptable, V2_TYPE } from '../../../src/apis/confluent/media-types.js'
import { JSON_TYPE } from '../../../src/http/exchange/modern-answers.js'
import { checkRows } from '../../support/rows.js'

describe('confluent: media types', () => {
  it('each Accept is acceptable for version 2, version 3, both or neither', () =>
    checkRows(
      [
        [undefined, true, true],
        ['', true, true],
        ['*/*', true, true],
        [V2_TYPE, true, false],
        [JSON_TYPE, true, true],
        ['application/*', true, true],
        ['application/vnd.kafka.json.v2+json', true, false],
        ['application/vnd.kafka+json', true, false],
        ['text/plain', false, false],
        ['text/*, application/json;q=0.1', true, true],
        [`${V2_TYPE};q=0`, false, false],
        [`*/*, ${V2_TYPE};q=0`, false, true],
        ['application/json; Q=0, text/html', false, false],
        ['APPLICATION/JSON', true, true],
        ['application/vnd.castellan.v1+json', true, true]
      ] as const,
      ([accept, v2, v3]) => expect([isAcceptable(accept, 'v2'), isAcceptable(accept, 'v3')]).to.deep.equal([v2, v3])
    ))

  it('an error without a route has the first type of ours that the client names', () => {
    expect(errorTypeOf(undefined)).to.equal(JSON_TYPE)
    expect(errorTypeOf(`text/plain, ${V2_TYPE}, ${JSON_TYPE}`)).to.equal(V2_TYPE)
    expect(errorTypeOf(`${JSON_TYPE};q=0.1, ${V2_TYPE}`)).to.equal(JSON_TYPE)
  })

  it('formats of version 2 are known by their type, whatever its case and parameters', () => {
    const types = [
      'application/vnd.kafka.JSON.v2+json; charset=x',
      'application/vnd.kafka.binary.v2+json',
      'application/vnd.kafka.protobuf.v2+json',
      V2_TYPE,
      JSON_TYPE,
      undefined
    ]
    expect(types.map(formatOf)).to.deep.equal(['json', 'binary', 'protobuf', undefined, 'json', undefined])
  })

  it('bodies of version 3 are JSON in UTF-8 or ISO-8859-1', () => {
    const types = [JSON_TYPE, `${JSON_TYPE}; charset=UTF-8`, `${JSON_TYPE};charset="iso-8859-1"`]
    expect(types.map(type => charsetOf(type))).to.deep.equal(['utf8', 'utf8', 'latin1'])
    expect(() => charsetOf(`${JSON_TYPE}; charset=latin-9`)).to.throw('the charset must be UTF-8 or ISO-8859-1')
    for (const type of ['text/plain', undefined]) expect(() => charsetOf(type)).to.throw('must be application/json')
  })
})
