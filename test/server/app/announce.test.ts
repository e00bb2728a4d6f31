import { expect } from 'chai'
import { confluent } from '../../../src/apis/confluent/api.js'
import { strimzi } from '../../../src/apis/strimzi/api.js'
import { announceUrls } from '../../../src/server/app/announce.js'
import { loadConfig } from '../../../src/server/config/config.js'
import { type LogLine, recordingLogger } from '../../http/server/stage.js'

describe('the log of the start', () => {
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
