// What a safety code is shown with: 64 pictures with their names, and 256 easy words. A language brings its own names and words.

import { _ } from "./language.js";

const PICTURES = 
  "🐶 🐱 🦁 🐴 🐷 🐘 🐰 🐼 🐓 🐧 🐢 🐟 🐙 🦋 🌷 🌳 " +
  "🌵 🍄 🌍 🌙 ☁️ 🔥 🍌 🍎 🍓 🌽 🍕 🎂 ❤️ 🤖 🎩 👓 " +
  "🦒 👍 ☂️ ⌛ 🎁 💡 📕 ✏️ 📎 ✂️ 🔒 🔑 🔨 ☎️ 🚌 🚲 " +
  "✈️ 🚀 🏆 ⚽ 🎸 🎺 🔔 ⚓ 🎧 ⛄ 🎈 🐍 🏠 ⛵ ⭐ 🥕";
const NAMES = _( // as many names, with commas
  "dog, cat, lion, horse, pig, elephant, rabbit, panda, rooster, penguin, turtle, fish, octopus, butterfly, " +
  "flower, tree, cactus, mushroom, globe, moon, cloud, fire, banana, apple, strawberry, corn, pizza, cake, " +
  "heart, robot, top hat, glasses, giraffe, thumb, umbrella, hourglass, gift, lamp, book, pencil, paper clip, " +
  "scissors, lock, key, hammer, telephone, bus, bicycle, aeroplane, rocket, trophy, football, guitar, trumpet, " +
  "bell, anchor, headphones, snowman, balloon, snake, house, sailboat, star, carrot",
);
const EASY = _( // as many words
  "acid actor album alarm angel ankle april arrow artist atlas aunt autumn avocado baby bacon badge bakery " +
  "bamboo barrel basket bathroom beach beard bedroom belt bench berry biscuit blanket blood bottle bracelet " +
  "branch bread breakfast bridge broom brother bubble bucket butter button cabin camel camera candle captain " +
  "carpet castle ceiling cement chain chair cheese cherry chicken chimney chocolate church cinema circle circus " +
  "city coffee collar comet compass copper corner cotton cousin cradle crayon cricket crown curtain cushion " +
  "dancer daughter december dentist desert diamond dinner doctor dolphin donkey door dragon drawer dream driver " +
  "drum duck dust eagle earth eight elbow empty engine evening eyebrow factory farmer father feather february " +
  "fence ferry finger flag flute forest fork fountain fox friday frog frozen garage garden garlic ghost ginger " +
  "glove goat gold grandma grape grass green guest hair harbor helmet honey hospital hotel hundred hunter " +
  "husband iceberg island jacket january jelly jewel jungle juice kangaroo kettle king kitchen knee ladder lake " +
  "laundry leather lemon letter library lizard lunch magnet mango map marble market meadow melon metal milk " +
  "million mirror monday monkey mother mountain museum music napkin nature needle nephew nest night nose " +
  "november nurse ocean olive onion orange oven owl painter palace paper parrot party pearl pepper piano picnic " +
  "pillow pirate planet plastic pocket potato prince pumpkin purple pyramid queen radio rainbow river road rose " +
  "salad salt sandal saturday school shadow sheep shoulder silver sister soap soldier soup spider spoon square " +
  "station sugar summer sunday table teacher theater tiger tomato tooth towel tractor uncle village violin water " +
  "window winter zebra",
);

// A translation with another number of parts would give two people different words for one code: then they are numbers.
function parts(text, separator, count) {
  const found = new Set(text.split(separator));
  return found.size === count ? [...found] : Array.from({ length: count }, (nothing, place) => String(place + 1));
}

const pictures = PICTURES.split(" ");
const names = parts(NAMES, ", ", pictures.length);
export const EMOJI = pictures.map((picture, place) => [picture, names[place]]);
export const WORDS = parts(EASY, " ", 256);
