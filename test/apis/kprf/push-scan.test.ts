import { expect } from 'chai'
import { parsePush } from '../../../src/apis/kprf/push-parse.js'
import type { PushRequest } from '../../../src/apis/kprf/push-request.js'
import { scanPush } from '../../../src/apis/kprf/push-scan.js'
import { DeserializeError } from '../../../src/core/json/json-reader.js'
import { PushBodies } from '../../support/push-bodies.js'

const scan = (body: string): PushRequest | undefined => scanPush(Buffer.from(body))

describe('kprf scanPush', () => {
  it('reads the plain shape, whatever the order of its keys', () => {
    expect(scan('{"records":[{"topic":"t","data":"d","key":"k","partition":-12}],"wait_for_send":true}')).to.deep.equal(
      {
        records: [{ topic: 't', value: Buffer.from('d'), key: Buffer.from('k'), partition: -12 }],
        waitForSend: true
      }
    )
    expect(scan('{"wait_for_send":false,"records":[{"data":"","partition":0,"key":"","topic":""}]}')).to.deep.equal({
      records: [{ topic: '', value: Buffer.alloc(0), key: Buffer.alloc(0), partition: 0 }],
      waitForSend: false
    })
  })

  it('takes null and absence for the same, and an empty key for a key', () => {
    const absent = [{ topic: 't', value: Buffer.from('d'), key: null, partition: undefined }]
    expect(scan('{"records":[{"topic":"t","data":"d"}]}')?.records).to.deep.equal(absent)
    const nulls = '{"records":[{"topic":"t","data":"d","key":null,"partition":null}],"wait_for_send":null}'
    expect(scan(nulls)).to.deep.equal({ records: absent, waitForSend: false })
  })

  it('takes partition -1 for none, and no other', () => {
    const partitions = (text: string) => scan(`{"records":[{"topic":"t","data":"d","partition":${text}}]}`)?.records
    expect(partitions('-1')?.[0]?.partition).to.equal(undefined)
    expect(partitions('-2')?.[0]?.partition).to.equal(-2)
    expect(partitions('-0')?.[0]?.partition).to.equal(0)
  })

  it('gives views of the body', () => {
    const body = Buffer.from('{"records":[{"topic":"t","data":"dé","key":"k"}]}')
    const { key, value } = scanPush(body)!.records[0]!
    expect(value.buffer).to.equal(body.buffer)
    expect(value.toString()).to.equal('dé')
    expect(key!.buffer).to.equal(body.buffer)
  })

  it('reads what is printed for people', () => {
    const body = {
      records: [
        { topic: 't', data: 'a b\n', key: 'k' },
        { topic: 't', data: 'c' }
      ],
      wait_for_send: true
    }
    const { records, waitForSend } = scan(`${JSON.stringify(body, null, '\t')}\r\n`)!
    expect(waitForSend).to.equal(true)
    expect(records.map(({ value }) => value.toString())).to.deep.equal(['a b\n', 'c'])
  })

  it('unescapes keys, values and topics', () => {
    const data = '"\\/\b\f\n\r\té€😀\u0000 plain'
    const ascii = JSON.stringify(data).replace(
      /[\u007f-\uffff]/g,
      unit => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
    )
    const { records } = scan(`{"records":[{"topic":"\\u0074","data":${ascii},"key":"\\/"},{"topic":"t","data":"x"}]}`)!
    expect(records.map(({ topic }) => topic)).to.deep.equal(['t', 't'])
    expect(records[0]!.value.toString()).to.equal(data)
    expect(records[0]!.key!.toString()).to.equal('/')
    expect(records[1]!.value.toString()).to.equal('x')
  })

  it('reads spaces between tokens', () => {
    expect(
      scan(' { "records" : [ { "topic" : "t" , "data" : "d" } , { "data" : "e" , "topic" : "u" } ] } ')?.records
    ).to.have.length(2)
  })

  it('tells neighbouring topics apart', () => {
    const records = ['ab', 'ac', 'ab', 'a', 'abc'].map(topic => `{"topic":"${topic}","data":""}`).join(',')
    expect(scan(`{"records":[${records}]}`)?.records.map(({ topic }) => topic)).to.deep.equal([
      'ab',
      'ac',
      'ab',
      'a',
      'abc'
    ])
  })

  const unusual = {
    'a lone surrogate': '{"records":[{"topic":"t","data":"\\ud83d"}]}',
    'the wrong half of a pair': '{"records":[{"topic":"t","data":"\\ude00\\ud83d"}]}',
    'an unknown escape': '{"records":[{"topic":"t","data":"\\q"}]}',
    'an escape cut short': '{"records":[{"topic":"t","data":"\\u12',
    'a backslash at the end': '{"records":[{"topic":"t","data":"\\',
    'an escaped key': '{"r\\u0065cords":[]}',
    'a control byte before an escape': '{"records":[{"topic":"t","data":"a\tb\\n"}]}',
    'a control byte after an escape': '{"records":[{"topic":"t","data":"\\na\tb"}]}',
    'a control byte in a string': '{"records":[{"topic":"t","data":"a\u0001"}]}',
    'a duplicate key of a record': '{"records":[{"topic":"t","topic":"t","data":"d"}]}',
    'a duplicate key that was null': '{"records":[{"topic":"t","key":null,"key":"k","data":"d"}]}',
    'a duplicate key of the request': '{"records":[],"wait_for_send":null,"wait_for_send":true}',
    'an unknown key': '{"records":[],"x":1}',
    'a missing key': '{"records":[{"topic":"t"}]}',
    'a positional record': '{"records":[["d","t",null,null]]}',
    'a positional request': '[[],true]',
    'a leading zero': '{"records":[{"topic":"t","data":"d","partition":01}]}',
    'a fraction': '{"records":[{"topic":"t","data":"d","partition":1.0}]}',
    'more digits than surely fit': '{"records":[{"topic":"t","data":"d","partition":2147483647}]}',
    'a trailing comma': '{"records":[],}',
    'more after the end': '{"records":[]}x',
    'an end too early': '{"records":[{"topic":"t","data":"d',
    nothing: ''
  }
  for (const [what, body] of Object.entries(unusual)) {
    it(`leaves ${what} to the slow path`, () => {
      expect(scan(body)).to.equal(undefined)
    })
  }

  it('leaves invalid UTF-8 to the slow path', () => {
    expect(scanPush(Buffer.from('{"records":[{"topic":"t","data":"\xff"}]}', 'latin1'))).to.equal(undefined)
  })

  it('agrees with the slow path on everything it accepts', () => {
    const bodies = new PushBodies(20_261_120, 5)
    let accepted = 0
    for (let i = 0; i < 100_000; i++) {
      const body = bodies.next()
      const scanned = scanPush(body)
      if (scanned === undefined) continue
      accepted++
      // Chai's deep equality costs more than both parsers; text tells the same.
      const parsed = parsedText(body)
      if (toText(scanned) !== parsed) expect(toText(scanned), body.toString('latin1')).to.equal(parsed)
    }
    expect(accepted).to.be.above(40_000)
  })
})

const toText = ({ records, waitForSend }: PushRequest): string =>
  JSON.stringify([
    waitForSend,
    records.map(({ topic, value, key, partition }) => [
      topic,
      value.toString('latin1'),
      key?.toString('latin1') ?? null,
      partition ?? null
    ])
  ])

function parsedText(body: Buffer): string {
  try {
    return toText(parsePush(body))
  } catch (error) {
    if (!(error instanceof DeserializeError)) throw error
    return error.message
  }
}
