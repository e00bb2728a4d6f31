import { expect } from 'chai'
import { kafboyCommand } from '../../../../src/apis/api-commands.js'
import { Atom, parseTerm, Tuple } from '../../../../src/apis/kafboy/compat/sys-config.js'
import { ConfigError } from '../../../../src/core/errors.js'
import { translateConfig } from '../../../../src/server/config/config.js'

async function load(text: string | undefined, flags: object = {}) {
  const all = new Map(Object.entries({ ...(text !== undefined && { config: 'sys.config' }), ...flags }))
  const translation = await kafboyCommand.translate({ flags: all, environment: {}, readFile: () => text ?? '' })
  const { config, notes } = translateConfig({}, translation, 'kafboy')
  return { config, kafboy: config.apis.kafboy, notes }
}

const refusal = async (text: string): Promise<string> => {
  const error = await load(text).then(
    () => undefined,
    (thrown: Error) => thrown
  )
  expect(error).to.be.instanceOf(ConfigError)
  return error!.message
}

describe('castellan kafboy: the configuration file of kafboy and ekaf', () => {
  it('has the defaults of both, on loopback without authentication, where there is none', async () => {
    const { config, kafboy, notes } = await load(undefined)
    expect(kafboy).to.include({ port: 8_000, host: '127.0.0.1', maxBufferRecords: 100, partitionStrategy: 'random' })
    expect(config.clusters.default!.brokers).to.deep.equal(['localhost:9091'])
    expect([config.apis.kprf.enabled, config.http.port]).to.deep.equal([false, 0])
    expect(notes.join()).to.include('listening on 127.0.0.1 instead of 0.0.0.0')
  })

  it('takes every key that has a counterpart', async () => {
    const { config, kafboy } = await load(`
%% kafboy behind a proxy
[{sasl, [{errlog_type, error}]},
 {kafboy, [{kafboy_http_port, 8001}, {kafboy_sync_url, "/s/:topic/"}, {kafboy_routes_async, ["/1/foo/:topic"]}]},
 {ekaf, [{ekaf_bootstrap_broker, {"kafka-1", 9092}}, {ekaf_bootstrap_topics, [<<"orders">>, <<"events">>]},
         {ekaf_max_buffer_size, [{<<"orders">>, 5}, {ekaf_max_buffer_size, 7}]}, {ekaf_buffer_ttl, 1000},
         {ekaf_partition_strategy, [{<<"orders">>, strict_round_robin}, {<<"audit">>, sticky_round_robin}]}]}].
`)
    expect(config.clusters.default!.brokers).to.deep.equal(['kafka-1:9092'])
    expect(kafboy).to.deep.include({
      port: 8_001,
      syncUrl: '/s/:topic/',
      routesAsync: ['/1/foo/:topic'],
      maxBufferRecords: 7,
      bufferTtlMs: 1_000,
      partitionStrategy: 'random',
      topics: [
        { topic: 'orders', maxBufferRecords: 5, partitionStrategy: 'strict_round_robin' },
        { topic: 'audit', partitionStrategy: 'sticky_round_robin' }
      ]
    })
  })

  it('explains what has no effect, and names what kafboy does not know', async () => {
    const text =
      '[{kafboy, [{kafboy_callback_edit_json, {m, f}}, {kafboy_set_cookie, secret}, {kafboy_load_balancer, "http://h/disco"}, kafboy_master, {kafboy_http_prot, 1}]}, {ekaf, [{ekaf_callback_flush, {m, f}}, {ekaf_per_partition_workers, 100}, {ekaf_max_downtime_buffer_size, 9}]}].'
    const { notes } = await load(text)
    const of = (key: string): string | undefined => notes.find(note => note.startsWith(`${key} `))
    expect(of('kafboy_callback_edit_json')).to.include('apis.kafboy.callbackEditJson')
    expect(of('ekaf_callback_flush')).to.include('modules of Erlang cannot be called')
    expect(of('ekaf_per_partition_workers')).to.include('one connection to a broker carries all partitions')
    for (const key of ['kafboy_load_balancer', 'kafboy_master']) expect(of(key)).to.include('no cluster to join')
    expect(of('ekaf_max_downtime_buffer_size')).to.include('delivery.maxBytes')
    expect(of('kafboy_http_prot')).to.equal(
      'kafboy_http_prot is no key of kafboy and is ignored; did you mean kafboy_http_port?'
    )
    expect(of('kafboy_set_cookie')).to.not.equal(undefined)
    expect(notes.join()).to.not.include('secret')
  })

  it('is overruled by flags', async () => {
    const text = '[{kafboy, [{kafboy_http_port, 8001}]}, {ekaf, [{ekaf_bootstrap_broker, {"k", 1}}]}].'
    const { config, kafboy } = await load(text, { port: '8002', embedded: true })
    expect([kafboy.port, config.clusters.default!.brokers, config.embedded.enabled]).to.deep.equal([8_002, [], true])
  })

  it('is refused in one line where it cannot be read or used', async () => {
    expect(await refusal('[{kafboy,\n [}].')).to.equal('sys.config: line 2: expected a term of Erlang')
    expect(await refusal('[]')).to.equal('sys.config: line 1: expected a full stop of Erlang')
    expect(await refusal('[{ekaf, [{ekaf_bootstrap_broker, "k:1"}]}].')).to.equal(
      'sys.config, ekaf_bootstrap_broker: write {"HOST", PORT}'
    )
    expect(await refusal('[{kafboy, [{kafboy_http_port, eight}]}].')).to.include('apis.kafboy.port')
    expect(await refusal(`${'['.repeat(5_000)}`)).to.include('fewer brackets')
  })
})

describe('terms of Erlang', () => {
  it('are numbers, words, texts, lists and tuples', () => {
    expect(parseTerm('[1, -2, 1.5e3, "a\\"b" "c", <<"d">>, <<>>, e, \'f g\', {}, [] , {h, [i]}]. rest')).to.deep.equal([
      1,
      -2,
      1_500,
      'a"bc',
      'd',
      '',
      new Atom('e'),
      new Atom('f g'),
      new Tuple([]),
      [],
      new Tuple([new Atom('h'), [new Atom('i')]])
    ])
    expect(parseTerm('% a comment\n x@1.')).to.deep.equal(new Atom('x@1'))
  })
})
