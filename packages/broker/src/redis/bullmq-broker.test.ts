import { brokerContract } from "../../testing/broker.contract.ts";
import { connectPair } from "../../testing/redis.ts";

brokerContract("BullMqBroker", connectPair);
