import { expect } from 'chai'
import { confluent } from '../../../src/apis/confluent/api.js'
import { strimzi } from '../../../src/apis/strimzi/api.js'
import type { HttpUrls } from '../../../src/http/server/http.js'
import { announceUrls } from '../../../src/server/app/announce.js'
import { loadConfig } from '../../../src/server/config/config.js'
import { type LogLine, recordingLogger } from '../../http/server/fixtures.js'

const MESSAGE = 'http.engine: node:http serves'

describe('the log of the start', () => {
  const announced = (engine: string, urls: Partial<HttpUrls>): LogLine[] => {
    const lines: LogLine[] = []
    const config = loadConfig({ environment: { CASTELLAN_HTTP_ENGINE: engine } })
    const all = { shared: 'http://a:1', unixSocket: undefined, management: 'http://a:3', apis: new Map(), ...urls }
    announceUrls(config, all, undefined, recordingLogger(lines), [])
    return lines.filter(({ message }) => message.startsWith(MESSAGE))
  }

  it('names the listeners with TLS, which another engine serves', () => {
    const apis = new Map([
      ['kprf', 'https://a:2'],
      ['pixy socket', 'unix:/x']
    ])
    expect(announced('castellan', { shared: 'https://a:1', apis, management: 'https://a:3' })).to.deep.equal([
      {
        level: 'debug',
        fields: { engine: 'node', urls: ['https://a:1', 'https://a:2', 'https://a:3'] },
        message: `${MESSAGE} https://a:1, https://a:2, https://a:3, because the engine castellan serves no TLS`
      }
    ])
  })

  it('says nothing of it without TLS, or where node:http serves everything', () => {
    expect(announced('castellan', {})).to.deep.equal([])
    expect(announced('node', { shared: 'https://a:1' })).to.deep.equal([])
  })
  it('names in the line to try the port of the API, where it has one', () => {
    const lines: LogLine[] = []
    const apis = new Map([['confluent', 'http://a:2']])
    const urls = { shared: 'http://a:1', unixSocket: undefined, management: undefined, apis }
    announceUrls(loadConfig({ environment: {} }), urls, 'a:9092', recordingLogger(lines), [confluent, strimzi] as never)
    const tried = lines.flatMap(({ message }) => /^try: .*?(http:\S+)/.exec(message)?.[1] ?? [])
    expect(tried).to.deep.equal(['http://a:2/topics/orders'])
    expect(lines.at(-1)!.message).to.equal('a command for each API: curl http://a:1')
  })
})
