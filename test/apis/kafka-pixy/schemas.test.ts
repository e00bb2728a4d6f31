import { expect } from 'chai'
import { CastellanError, OverloadedError } from '../../../src/core/errors.js'
import { Schemas } from '../../../src/schemas/schemas.js'
import { schemasSettings } from '../../../src/schemas/settings.js'
import type { AcquiredMessage, Verbs } from '../../../src/verbs/verbs.js'
import { ScriptedRegistry } from '../../schemas/scripted-registry.js'
import { CodecsInPlace } from '../../support/codecs-in-place.js'
import { PixyPlay } from './play.js'

const ORDER = JSON.stringify({ type: 'record', name: 'Order', fields: [{ name: 'n', type: 'long' }] })
const PATH = '/topics/t/messages?group=g&encoding=schema'
const MEMBERS = { partition: 0, headers: [] }

describe('kafka-pixy: messages that are decoded by schemas', () => {
  async function start() {
    const registry = new ScriptedRegistry()
    const settings = schemasSettings.parse({ registry: { urls: ['http://registry.example'] } })
    const schemas = new Schemas(settings, { transport: registry, host: new CodecsInPlace(), clock: () => 0 })
    registry.add('t-value', ORDER)
    const text = JSON.stringify({ type: 'object' })
    const ofText = registry.add('x-value', { schema: text, schemaType: 'JSON' })
    const play = await PixyPlay.start({}, { overrides: { schemas } })
    const wanted = { topic: 't', part: 'value', mayRegister: () => false } as const
    const order = await (await schemas.resolve(wanted)).encode('{"n":9007199254740993}')
    // Nothing is known of the registry any more.
    const host = new CodecsInPlace()
    const fresh = new Schemas(settings, { transport: registry, host, clock: () => 0 })
    const again = await PixyPlay.start({}, { overrides: { schemas: fresh } })
    await play.close()
    registry.calls.length = 0
    const pretty = Buffer.concat([Buffer.from([0, 0, 0, 0, ofText]), Buffer.from('{\r\n  "a": "b\\n"\n}')])
    return { registry, play: again, order, pretty, host }
  }

  it('are JSON that keeps long integers exact, and each schema is asked for once', async () => {
    const { registry, play, order } = await start()
    for (let time = 0; time < 2; time++) {
      play.verbs.result = play.verbs.messages({ key: null, value: order, offset: 7 })
      const { status, body } = await play.get(PATH)
      expect(status).to.equal(200)
      expect(body).to.equal(
        '{\n  "key": null,\n  "value": {"n":9007199254740993},\n  "partition": 0,\n  "offset": 7,\n  "headers": []\n}'
      )
    }
    expect(registry.calls).to.deep.equal(['GET /schemas/ids/1'])
    await play.close()
  })

  it('are as many of one answer as have 4 MiB of JSON; the others are released, and one alone comes whatever it has', async () => {
    const { play, pretty } = await start()
    const ofBytes = (bytes: number): Buffer =>
      Buffer.concat([pretty.subarray(0, 5), Buffer.from(`{"a":"${'x'.repeat(bytes - 8)}"}`)])
    const { verbs } = play
    const limits: number[] = []
    let waiting: Partial<AcquiredMessage>[] = []
    verbs.consume = (_group, _topic, { maxMessages }, _timeoutMs, { reply }) => {
      limits.push(maxMessages)
      queueMicrotask(() => reply(verbs.messages(...waiting.slice(0, maxMessages))))
      return () => undefined
    }
    const offsetsOf = async (...sizes: number[]): Promise<number[]> => {
      waiting = sizes.map((bytes, offset) => ({ key: null, value: ofBytes(bytes), offset }))
      const { status, body } = await play.get(`${PATH}&count=10`)
      expect(status).to.equal(200)
      return (JSON.parse(body) as { offset: number }[]).map(({ offset }) => offset)
    }
    const MIB = 1024 * 1024
    expect(await offsetsOf(MIB, MIB, MIB)).to.deep.equal([0, 1, 2])
    expect([limits.splice(0), verbs.told.splice(0).length]).to.deep.equal([[10], 1])
    expect(await offsetsOf(3 * MIB, MIB / 2, MIB, 10, 10)).to.deep.equal([0, 1])
    expect([limits.splice(0), verbs.told.splice(0).length]).to.deep.equal([[10, 2], 2])
    expect(await offsetsOf(4 * MIB, 10)).to.deep.equal([0])
    expect([limits.splice(0), verbs.told.splice(0).length]).to.deep.equal([[10, 1], 2])
    await play.close()
  })

  it('come all, in their order, also those that cannot be decoded, which have their bytes and the reason', async () => {
    const { play, order } = await start()
    const unknown = Buffer.from([0, 0, 0, 0, 99, 1])
    const cut = order.subarray(0, 6)
    const messages: Partial<AcquiredMessage>[] = [
      { key: Buffer.from('k1 "ü'), value: order, offset: 0 },
      { key: Buffer.from([0xff]), value: order, offset: 0 },
      { key: order, value: null, offset: 1 },
      { key: null, value: unknown, offset: 2 },
      { key: null, value: cut, offset: 3 },
      { key: null, value: Buffer.alloc(0), offset: 4 },
      { key: null, value: order, offset: 5 }
    ]
    play.verbs.result = play.verbs.messages(...messages)
    const { status, body } = await play.get(`${PATH}&count=10`)
    expect(status).to.equal(200)
    const found = JSON.parse(body) as { undecodable?: Record<string, string> }[]
    const noId = 'it does not begin with the id of a schema'
    const decoded = { n: 9007199254740992 }
    expect(found.map(({ undecodable, ...one }) => [one, Object.keys(undecodable ?? {})])).to.deep.equal([
      [{ ...MEMBERS, key: 'k1 "ü', value: decoded, offset: 0 }, []],
      [{ ...MEMBERS, key: '/w==', value: decoded, offset: 0 }, ['key']],
      [{ ...MEMBERS, key: decoded, value: null, offset: 1 }, []],
      [{ ...MEMBERS, key: null, value: unknown.toString('base64'), offset: 2 }, ['value']],
      [{ ...MEMBERS, key: null, value: cut.toString('base64'), offset: 3 }, ['value']],
      [{ ...MEMBERS, key: null, value: '', offset: 4 }, ['value']],
      [{ ...MEMBERS, key: null, value: decoded, offset: 5 }, []]
    ])
    const causes = found.flatMap(({ undecodable = {} }) => Object.values(undecodable))
    expect([causes[0], causes[3]]).to.deep.equal([noId, noId])
    expect(causes[1]).to.match(/99/)
    await play.close()
  })

  it('are given back while the registry cannot be asked, and the client gets 503', async () => {
    const { registry, play, order } = await start()
    registry.script = () => Promise.reject(new Error('connect ECONNREFUSED'))
    for (const path of [PATH, `${PATH}&count=10`]) {
      play.verbs.result =
        path === PATH ? play.verbs.messages({ value: order }) : play.verbs.messages({ value: order }, { value: null })
      const { status, body } = await play.get(path)
      expect(status, path).to.equal(503)
      expect(body, path).to.match(/registry/)
      expect(play.verbs.told.splice(0), path).to.deep.equal(['given back', 'cancelled'])
    }
    await play.close()
  })

  it('are given back while the thread of the schemas has no time for them, and the client gets 503', async () => {
    const { play, order, host } = await start()
    host.run = () => Promise.reject(new OverloadedError('the thread of the schemas had no time for it'))
    play.verbs.result = play.verbs.messages({ value: order })
    const { status, body } = await play.get(PATH)
    expect([status, body]).to.deep.equal([503, '{\n  "error": "the thread of the schemas had no time for it"\n}'])
    expect(play.verbs.told).to.deep.equal(['given back', 'cancelled'])
    await play.close()
  })

  it('have no line breaks of their own in the events of a tail', async () => {
    const { play, pretty, order } = await start()
    const values = [order, pretty, Buffer.from('plain'), order]
    const follow: Verbs['follow'] = async (_topic, _options, sink) => {
      const positions = new Map([[0, 0]])
      let at = 0
      const goOn = (): void => {
        while (at < values.length && !sink.isFull) {
          const record = { offset: at, timestampMs: 0, key: null, value: values[at]!, headers: [] }
          at++
          positions.set(0, at)
          sink.take(0, record)
          sink.flush()
        }
        if (at === values.length && !sink.isFull) sink.ended(new CastellanError('kafka', 'over', false))
      }
      sink.begins(positions)
      setImmediate(goOn)
      return { resume: goOn, stop: () => undefined }
    }
    Object.assign(play.verbs, { follow })
    const { body } = await play.get('/topics/t/tail?encoding=schema')
    const events = body.split('\n\n').filter(text => text.includes('data: {"key"'))
    expect(events.map(text => text.split('\n').map(line => line.replace(/^.*?: /, '')))).to.deep.equal([
      ['0:1', '{"key":null,"value":{"n":9007199254740993},"partition":0,"offset":0,"headers":[]}'],
      ['0:2', '{"key":null,"value":{    "a": "b\\n" },"partition":0,"offset":1,"headers":[]}'],
      [
        '0:3',
        '{"key":null,"value":"cGxhaW4=","partition":0,"offset":2,"headers":[],"undecodable":{"value":"it does not begin with the id of a schema"}}'
      ],
      ['0:4', '{"key":null,"value":{"n":9007199254740993},"partition":0,"offset":3,"headers":[]}']
    ])
    await play.close()
  })

  it('are refused with 400 where there is no registry, by the setting that would name one', async () => {
    const play = await PixyPlay.start()
    for (const path of [PATH, '/topics/t/tail?encoding=schema']) {
      const { status, body } = await play.get(path)
      expect(status).to.equal(400)
      expect(body).to.include('schemas.registry.urls')
    }
    expect(play.verbs.asked).to.deep.equal([])
    await play.close()
  })
})
