import { arionCommand } from './arion/command.js'
import type { ApiCommand } from './command.js'
import { kafboyCommand } from './kafboy/command.js'
import { kafkaPixyCommand } from './kafka-pixy/command.js'
import { kprfCommand } from './kprf/command.js'

/**
 * The commands of APIs. The list stands apart from that of the APIs, so that `castellan --help` need not load
 * them; what a command needs to translate is loaded by `translate`.
 */
export const apiCommands: readonly ApiCommand[] = [kprfCommand, arionCommand, kafkaPixyCommand, kafboyCommand]
