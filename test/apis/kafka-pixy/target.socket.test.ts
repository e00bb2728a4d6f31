import type { AddressInfo } from 'node:net'
import { expect } from 'chai'
import fastify, { type FastifyInstance } from 'fastify'
import { kafkaPixy } from '../../../src/apis/kafka-pixy/api.js'
import { type GoJson, goJson, withNumbersOnOneLine } from '../../../src/apis/kafka-pixy/go-json.js'
import { oddPathOf } from '../../../src/apis/kafka-pixy/target.js'
import { routeNameOf } from '../../../src/http/api/by-hand.js'
import { contextFor } from '../../support/api-context.js'
import { FakeVerbs } from '../../support/fake-verbs.js'
import { checkRows } from '../../support/rows.js'
import { PixyClient } from './stage.js'

describe('pixy: paths', () => {
  let app: FastifyInstance
  let client: PixyClient
  let seen: string
  before(async () => {
    app = fastify()
    app.addHook('onRoute', route => {
      route.preParsing = (_, reply) => void reply.code(299).send()
    })
    app.addHook('onRequest', (request, _, done) => {
      if (request.is404) return done()
      const { cluster, topic } = request.params as Record<string, string>
      seen = [routeNameOf(request), cluster, topic].filter(part => part !== undefined).join(' ')
      done()
    })
    const addRoutes = await kafkaPixy.plugin(contextFor(new FakeVerbs(), kafkaPixy.settings.parse({})))
    await app.register(async scope => addRoutes(scope), { prefix: '/pixy' })
    await app.listen({ host: '127.0.0.1', port: 0 })
    client = new PixyClient({ port: (app.server.address() as AddressInfo).port, prefix: '/pixy' })
  })
  after(async () => {
    client.close()
    await app.close()
  })

  /** `/pixy/topics/:topic t`: the route and its parameters. A route answers 299 here. */
  async function said(path: string): Promise<string> {
    const odd = oddPathOf(path)
    // The process escapes such a path before Fastify sees it.
    if (odd?.type === 'malformed') return 'malformed'
    let { status, headers } = await client.ask(path, { method: 'GET' })
    if (status === 405) ({ status, headers } = await client.ask(path, { method: 'POST' }))
    if (status === 301) return `moved to ${headers.location}`
    return status === 404 ? 'unknown' : `${status === 299 ? '' : `${status} `}${seen}`
  }

  const TOPIC = '/pixy/topics/:topic'
  const OF_CLUSTER = '/pixy/clusters/:cluster/topics'
  const paths: [path: string, said: string][] = [
    ['/_ping', '/pixy/_ping'],
    ['/pprof/heap', '/pixy/pprof/heap'],
    ['/_ping/', 'unknown'],
    ['/', 'unknown'],
    ['', 'moved to /pixy/'],
    ['/topics', '/pixy/topics'],
    ['/%74opics', '/pixy/topics'],
    ['/topics/', 'unknown'],
    ['/topics/t', `${TOPIC} t`],
    ['/topics/t/', 'unknown'],
    ['/topics/t/messages', `${TOPIC}/messages t`],
    ['/topics/t/messages/', 'unknown'],
    ['/topics/t/tail', `${TOPIC}/tail t`],
    ['/topics/t/other', 'unknown'],
    ['/topics/%C3%BC%20x/acks', `${TOPIC}/acks ü x`],
    ['/topics/a%2525%3Fb/acks', `${TOPIC}/acks a%25?b`],
    ['/topics/__proto__/acks', `${TOPIC}/acks __proto__`],
    ['/topics/a%2Fb/messages', 'unknown'],
    ['/topics/a%2Fmessages', 'unknown'],
    ['/topics/%zz/messages', 'malformed'],
    ['/clusters', 'unknown'],
    ['/clusters/c', 'unknown'],
    ['/clusters/c/topics', `${OF_CLUSTER} c`],
    ['/clusters/c/topics/t/offsets', `${OF_CLUSTER}/:topic/offsets c t`],
    ['/clusters/c/_ping', 'unknown'],
    ['//topics', 'moved to /pixy/topics'],
    ['/topics/./t//messages', 'moved to /pixy/topics/t/messages'],
    ['/topics/../x/', 'moved to /pixy/x/'],
    ['/topics/%2E%2E/x', 'moved to /pixy/x'],
    ['/topics/a%3Fb/../c%3F', 'moved to /pixy/topics/c%3F'],
    ['/../..', 'moved to /pixy/'],
    ['/topics/./messages', 'moved to /pixy/topics/messages'],
    ['/topics/../messages', 'moved to /pixy/messages'],
    ['/topics/.../messages', `${TOPIC}/messages ...`],
    ['/topics/a.b-c_D9/acks', `${TOPIC}/acks a.b-c_D9`],
    ['/topics/t/consumers', `${TOPIC}/consumers t`],
    ['/topics/t/offsets', `${TOPIC}/offsets t`],
    ['/topics/t/messages/more', 'unknown'],
    ['/_ping/more', 'unknown'],
    ['/pprof', 'unknown'],
    ['/pprof/heap/more', 'unknown'],
    ['/clusters/c/pprof/heap', 'unknown'],
    ['/clusters//topics', 'moved to /pixy/clusters/topics'],
    ['/clusters/c/topics/t', `${OF_CLUSTER}/:topic c t`],
    ['/clusters/c/topics/t/acks', `${OF_CLUSTER}/:topic/acks c t`],
    ['/clusters/c/topics/t/consumers', `${OF_CLUSTER}/:topic/consumers c t`],
    ['/clusters/c/topics/t/tail', `${OF_CLUSTER}/:topic/tail c t`],
    ['/clusters/c/topics/t/messages', `${OF_CLUSTER}/:topic/messages c t`],
    ['/clusters/c/topics/t/messages/more', 'unknown'],
    ['/clusters/c/other', 'unknown'],
    ['/other/t/messages', 'unknown']
  ]
  it('each path has the target or the refusal that the original has for it', () =>
    checkRows(paths, async ([path, expected]) => expect(await said(path)).to.equal(expected)))
})

describe('pixy: JSON as Go writes it', () => {
  it('indents, and sorts the members of maps by bytes', () => {
    const value = {
      b: [],
      a: { x: 1, left: undefined, y: [null, true] },
      m: new Map<string, GoJson>([
        ['ü', 1],
        ['z', 2],
        ['a', {}]
      ])
    }
    expect(goJson(value)).to.equal(
      '{\n  "b": [],\n  "a": {\n    "x": 1,\n    "y": [\n      null,\n      true\n    ]\n  },\n  "m": {\n    "a": {},\n    "z": 2,\n    "ü": 1\n  }\n}'
    )
  })

  it('pixy X1: lists of numbers are on one line, everything else stays as it is', () => {
    const value = { a: [1, -2, 30], b: [], c: ['1', '2'], d: [[1], [2, 3]], e: '[\n1\n]', f: 4 }
    expect(withNumbersOnOneLine(goJson(value))).to.equal(
      '{\n  "a": [1,-2,30],\n  "b": [],\n  "c": [\n    "1",\n    "2"\n  ],\n  "d": [\n    [1],\n    [2,3]\n  ],\n  "e": "[\\n1\\n]",\n  "f": 4\n}'
    )
  })
})
