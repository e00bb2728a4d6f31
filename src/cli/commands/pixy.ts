import { Argument, Option } from 'commander'
import type { CommandDescription } from '../command.js'
import { notEmpty, wholeNumber } from '../options.js'
import { recordFormats } from '../record-format.js'

const pixyOptions = [
  new Option(
    '-a, --addr <ADDR>',
    'the server: HOST:PORT, a URL with the prefix of the API, or the path of a unix socket (default 127.0.0.1:19092)'
  ).argParser(notEmpty),
  new Option('--cluster <NAME>', 'one of the clusters of the server (default: its default)').argParser(notEmpty),
  new Option('--token-file <FILE>', 'file with a bearer token that the server wants').argParser(notEmpty),
  new Option('--timeout <SECONDS>', 'time limit for an answer of the server (default 90)').argParser(wholeNumber(1))
]
const table = new Option('--format <FORMAT>', 'table (default), or json with one line each').choices(['table', 'json'])
const topic = new Argument('<TOPIC>').argParser(notEmpty)
const group = new Argument('<GROUP>').argParser(notEmpty)

const every = (text: string, former: readonly string[] = []): readonly string[] => [...former, text]

/** `castellan pixy`: a client of Kafka-Pixy's HTTP API. */
export const pixyCommand: CommandDescription = {
  name: 'pixy',
  summary: "produces and consumes over Kafka-Pixy's HTTP API",
  options: [],
  notes:
    "A client of Castellan's Kafka-Pixy API or of Kafka-Pixy itself. The server needs a port of its own (apis.kafka-pixy.port), or --addr names a URL such as http://127.0.0.1:8080/pixy.",
  examples: ['castellan pixy produce orders hello', 'castellan pixy consume orders billing --follow'],
  commands: [
    {
      name: 'produce',
      summary: 'writes a message, or each line of stdin as one',
      arguments: [topic, new Argument('[MESSAGE]')],
      options: [
        new Option('-k, --key <KEY>', 'key of the messages (default: none, and any partition)'),
        new Option('-H, --header <NAME=VALUE>', 'header of the messages; repeatable').argParser(every),
        new Option('--async', 'does not wait until the messages are in Kafka'),
        new Option('-q, --quiet', 'writes nothing to stdout'),
        ...pixyOptions
      ],
      notes: 'Writes partition and offset of each message. It stops at the first message that the server refuses.',
      examples: [
        'castellan pixy produce orders hello',
        'castellan pixy produce orders --key k1 --header Trace=abc < messages.txt',
        'castellan pixy produce orders hello --addr /run/kafka-pixy.sock'
      ],
      run: async (line, process) => (await import('../pixy/produce.js')).produce(line, process)
    },
    {
      name: 'consume',
      summary: 'writes messages of a topic to stdout on behalf of a group',
      arguments: [topic, group],
      options: [
        new Option('-n, --count <N>', 'stops after so many messages').argParser(wholeNumber(1)),
        new Option('-f, --follow', 'waits for further messages instead of stopping when none comes'),
        new Option('--format <FORMAT>', 'value (default), key-value (with a tab between), or json').choices(
          recordFormats
        ),
        new Option(
          '--ack <WHEN>',
          'written (default): a message is acknowledged once it is written; auto: by the answer itself; none'
        ).choices(['written', 'auto', 'none']),
        ...pixyOptions
      ],
      notes:
        'The first poll of a new group begins at the end of the topic. With --ack written a message that was not written to the end is offered again.',
      examples: [
        'castellan pixy consume orders billing',
        'castellan pixy consume orders billing --follow --format json',
        'castellan pixy consume orders audit --count 10 --ack none'
      ],
      run: async (line, process) => (await import('../pixy/consume.js')).consume(line, process)
    },
    {
      name: 'offsets',
      summary: 'writes where a group stands in a topic, and sets it',
      arguments: [topic, group],
      options: [
        new Option('--set <PARTITION=OFFSET,…>', 'sets offsets before; -1 is the end, -2 the oldest record').argParser(
          notEmpty
        ),
        table,
        ...pixyOptions
      ],
      notes:
        'Stop the consumers of the group before its offsets are set: Castellan refuses while other processes read for the group, and members of Kafka-Pixy overwrite what was set.',
      examples: ['castellan pixy offsets orders billing', 'castellan pixy offsets orders billing --set 0=120,1=-2'],
      run: async (line, process) => (await import('../pixy/offsets.js')).offsets(line, process)
    },
    {
      name: 'groups',
      summary: 'writes who reads a topic, on behalf of which groups',
      arguments: [topic, new Argument('[GROUP]')],
      options: [table, ...pixyOptions],
      examples: ['castellan pixy groups orders', 'castellan pixy groups orders billing --format json'],
      run: async (line, process) => (await import('../pixy/groups.js')).groups(line, process)
    }
  ]
}
