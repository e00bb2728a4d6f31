import type { CommandDescription } from '../command.js'
import { consumeCommand } from '../pixy/consume.js'
import { offsetsCommand, pixyGroupsCommand } from '../pixy/groups.js'
import { produceCommand } from '../pixy/produce.js'

/** `castellan pixy`: a client of Kafka-Pixy's HTTP API. */
export const pixyCommand: CommandDescription = {
  name: 'pixy',
  summary: "produces and consumes over Kafka-Pixy's HTTP API",
  options: [],
  notes:
    "A client of Castellan's Kafka-Pixy API or of Kafka-Pixy itself. The server needs a port of its own (apis.kafka-pixy.port), or --addr names a URL such as http://127.0.0.1:8080/pixy.",
  examples: ['castellan pixy produce orders hello', 'castellan pixy consume orders billing --follow'],
  commands: [produceCommand, consumeCommand, offsetsCommand, pixyGroupsCommand]
}
