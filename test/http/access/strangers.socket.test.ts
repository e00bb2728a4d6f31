import { expect } from 'chai'
import type { TopicMetadata } from '../../../src/verbs/verbs.js'
import { configOf, type Guarded, makeToken, startGuarded, TestFolder } from '../../support/access.js'
import { FakeVerbs } from '../../support/fake-verbs.js'
import { askRaw } from '../../support/raw-socket.js'
import { checkRows } from '../../support/rows.js'

/** Says that there are topics `a`, `b` and `secret`. */
class ThreeTopics extends FakeVerbs {
  override async topics(names: readonly string[] | 'all'): Promise<ReadonlyMap<string, TopicMetadata>> {
    const found = names === 'all' ? ['a', 'b', 'secret'] : names
    const isInternal = false
    return new Map(found.map(topic => [topic, { errorCode: 0, topic, topicId: undefined, isInternal, partitions: [] }]))
  }

  override async topicConfigs(
    names: readonly string[] = []
  ): Promise<ReadonlyMap<string, ReadonlyMap<string, string>>> {
    return new Map(names.map(name => [name, new Map([['retention.ms', '1']])]))
  }
}

describe('clients with few permissions', () => {
  const [nobody, owner, writer] = [makeToken(), makeToken(), makeToken()]
  const settings = {
    auth: {
      tokens: [
        { principal: 'nobody', sha256: nobody.sha256 },
        { principal: 'owner', sha256: owner.sha256 },
        { principal: 'writer', sha256: writer.sha256 }
      ]
    },
    access: {
      rules: [
        { principals: ['owner'], operations: ['admin'], topics: ['a', 'b'] },
        { principals: ['writer'], operations: ['produce'], topics: ['a'] }
      ]
    }
  }
  const folder = new TestFolder()
  let guarded: Guarded
  before(async () => {
    guarded = await startGuarded(configOf(folder, settings), new ThreeTopics())
  })
  after(async () => {
    await guarded?.stop()
    folder.remove()
  })

  const ask = (line: string, token?: string, url = guarded.http.urls.shared): Promise<string> => {
    const authorization = token === undefined ? '' : `Authorization: Bearer ${token}\r\n`
    const length = line.startsWith('POST') ? 'Content-Length: 0\r\n' : ''
    return askRaw(url, `${line} HTTP/1.1\r\nHost: localhost\r\n${authorization}${length}Connection: close\r\n\r\n`)
  }
  const bodyOf = (answer: string): string => answer.slice(answer.indexOf('\r\n\r\n') + 4)

  const PLACES: readonly (readonly [string, RegExp])[] = [
    ['GET /', /"error":"forbidden"/],
    ['GET /openapi.json', /"error":"forbidden"/],
    ['GET /arion/openapi.json', /"error":"forbidden"/],
    ['GET /kafboy/openapi.json', /"error":"forbidden"/],
    ['GET /arion/stats', /"status":"error"|"error"/],
    ['GET /kafboy/disco', /error/],
    ['GET /kafboy/echo_post', /error/],
    ['POST /kafboy/disco', /error/],
    ['GET /strimzi/', /"error_code":403/],
    ['GET /strimzi/openapi', /"error_code":403/],
    ['GET /strimzi/openapi/v3', /"error_code":403/],
    ['GET /confluent/', /"error_code":40301/],
    ['POST /confluent/', /"error_code":40301/]
  ]
  it('each operation is refused to clients that no rule is about', () =>
    checkRows(PLACES, async ([line, words]) => {
      const refused = await ask(line, nobody.token)
      expect(refused).to.match(/^HTTP\/1\.1 403 /)
      expect(bodyOf(refused)).to.match(words).and.to.contain('no rule')
      expect(await ask(line)).to.match(/^HTTP\/1\.1 401 /)
      expect(await ask(line, writer.token)).to.match(/^HTTP\/1\.1 200 /)
    }))

  it('are told of the topics that they administer, and of no others', async () => {
    for (const [path, told] of [
      ['/pixy/topics', ['a', 'b']],
      ['/pixy/topics?withPartitions', { a: {}, b: {} }]
    ] as const) {
      expect(JSON.parse(bodyOf(await ask(`GET ${path}`, owner.token))), path).to.deep.equal(told)
    }
    const configs = JSON.parse(bodyOf(await ask('GET /pixy/topics?withConfig', owner.token))) as object
    expect(Object.keys(configs)).to.deep.equal(['a', 'b'])
    expect(await ask('GET /pixy/topics', writer.token)).to.match(/^HTTP\/1\.1 403 /)
    expect(await ask('GET /pixy/topics/secret', owner.token)).to.match(/^HTTP\/1\.1 403 /)
  })

  it('must authenticate before their path is looked up, on every port', async () => {
    const { shared, management } = guarded.http.urls
    for (const path of ['/;%zz', '/kprf/push;%zz', '/pixy/topics;%', '/a;b%zz;c?d=%zz', '/arion/stats;%e0%a4%a']) {
      for (const url of [shared, management!]) {
        expect(await ask(`GET ${path}`, undefined, url), path).to.match(/^HTTP\/1\.1 401 /)
        expect(await ask(`GET ${path}`, 'wrong', url), path).to.match(/^HTTP\/1\.1 401 /)
        const absolute = `GET http://localhost${path}`
        expect(await ask(absolute, undefined, url), absolute).to.match(/^HTTP\/1\.1 401 /)
      }
    }
    for (const path of ['/metrics;%zz', '/openapi.json;%zz']) {
      expect(await ask(`GET ${path}`, undefined, management), path).to.match(/^HTTP\/1\.1 401 /)
      expect(await ask(`GET ${path}`, writer.token, management), path).to.match(/^HTTP\/1\.1 403 /)
    }
  })
})
